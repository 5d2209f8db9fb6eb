/** Talks to the server.  Every error is one sentence. */

const KEY = "kblampp.token";
let askForToken = null;
let asking = null;

/** An answer of the server that is no success. */
class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Sets what is called for a token after a 401: a function (of a sentence) that resolves to the token, or to null. */
export function onMissingToken(ask) {
  askForToken = ask;
}

async function once(method, path, body, signal, token) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer: is it still running?");
  }
  const data = await response.json().catch(() => null);
  if (!response.ok) {
    throw new ApiError(response.status, data?.error ?? `The server answered with status ${response.status}.`);
  }
  if (data === null) throw new ApiError(response.status, "The server sent something that is no JSON.");
  return data;
}

/** Asks for a token, once for all requests that lack it; null if the person gives none. */
function newToken(sentence) {
  asking ??= askForToken(sentence).finally(() => {
    asking = null;
  });
  return asking;
}

async function call(method, path, body, signal) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    try {
      return await once(method, path, body, signal, token);
    } catch (error) {
      if (error.status !== 401 || !askForToken) throw error;
      if (sessionStorage.getItem(KEY) !== token) continue;
      const given = await newToken(token === null ? "" : error.message);
      if (!given) throw error;
      sessionStorage.setItem(KEY, given);
    }
  }
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** "12" is the number of a call, anything else a moment. */
const moment = (text) => (/^\d+$/.test(text) ? Number(text) : text);

/** What the server can do, one function each. */
export const api = {
  health: () => call("GET", "health"),
  ask: ({ question, today, knownAt }, signal) => {
    const when = { ...(today ? { today } : {}), ...(knownAt ? { known_at: moment(knownAt) } : {}) };
    return call("POST", "ask", { question, top: 5, ...when }, signal);
  },
  facts: ({ search, heldOn, knownAt, limit, offset }, signal) =>
    call("GET", `facts${query({ search, held_on: heldOn, known_at: knownAt, limit, offset })}`, undefined, signal),
  add: (fact) => call("POST", "facts", fact),
  change: (id, fields) => call("PUT", `facts/${id}`, fields),
  end: (id, end) => call("POST", `facts/${id}/end`, { end }),
  remove: (id) => call("DELETE", `facts/${id}`),
  history: (id) => call("GET", `facts/${id}/history`),
  log: () => call("GET", "log?limit=50"),
  undo: (id) => call("POST", "undo", { call: id }),
};
