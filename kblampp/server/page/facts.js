/** The table of facts: search, pages, and what can be done with each. */

import { api } from "./api.js";
import { byId, debounced, el, name } from "./dom.js";

const PAGE = 25;
const shown = { offset: 0, total: 0, facts: [] };
let running = null;

function button(text, fact, act, extra = "") {
  const what = `${text}: ${fact.head}, ${fact.relation}, ${fact.tail}`;
  const writes = text !== "History";
  const kind = { type: "button", class: `link ${extra}`, "aria-label": what, "data-write": writes };
  return el("button", { ...kind, click: () => act(fact) }, text);
}

function row(fact, tools) {
  const writing = [["Change", tools.change], ["End", tools.end], ["Delete", tools.take, "danger"]];
  const actions = tools.editable ? writing.map(([text, act, kind]) => button(text, fact, act, kind)) : [];
  const cell = (label, text, none = "") =>
    el("td", { "data-label": label }, text ? name(text) : el("span", { class: "muted" }, none));
  return el("tr", { "data-fact": fact.id, title: fact.context || null },
    el("th", { scope: "row", "data-label": "Head" }, name(fact.head)),
    cell("Relation", fact.relation), cell("Tail", fact.tail),
    cell("From", fact.start, "–"), cell("To", fact.end, "–"),
    el("td", { class: "actions" }, actions, button("History", fact, tools.history)));
}

function none(search) {
  const text = search ? ["No fact matches “", name(search), "”."] : ["The base holds no fact yet."];
  return el("tr", {}, el("td", { colspan: 6, class: "empty" }, text));
}

function offer(id, texts) {
  byId(id).replaceChildren(...[...new Set(texts)].slice(0, 200).map((text) => el("option", { value: text })));
}

/**
 * Reads and shows the facts.
 * @param view {heldOn, knownAt} of the page
 * @param tools {editable, change, end, take, history}: what the buttons of a row call, with its fact
 */
export async function showFacts(view, tools) {
  running?.abort();
  running = new AbortController();
  const mine = running;
  const search = byId("search").value.trim();
  const heldOn = byId("held").checked ? view.heldOn : "";
  let found;
  try {
    found = await api.facts({ search, heldOn, knownAt: view.knownAt, limit: PAGE, offset: shown.offset }, mine.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    throw error;
  }
  if (mine !== running) return;
  if (!found.facts.length && shown.offset && found.total) {
    shown.offset = Math.floor((found.total - 1) / PAGE) * PAGE;
    await showFacts(view, tools);
    return;
  }
  Object.assign(shown, found);
  byId("rows").replaceChildren(...(found.facts.length ? found.facts.map((fact) => row(fact, tools)) : [none(search)]));
  byId("total").textContent = String(found.total);
  byId("total").setAttribute("aria-label", `${found.total} shown`);
  byId("pages").hidden = found.total <= PAGE;
  byId("shown").textContent = `${shown.offset + 1} – ${shown.offset + found.facts.length} of ${found.total}`;
  byId("previous").disabled = shown.offset === 0;
  byId("next").disabled = shown.offset + PAGE >= found.total;
}

/** Calls `again` when the person searches, filters or turns a page. */
export function listenToTable(again) {
  const first = () => {
    shown.offset = 0;
    again();
  };
  byId("search").addEventListener("input", debounced(first, 200));
  byId("held").addEventListener("change", first);
  const turn = (by) => () => {
    shown.offset = Math.max(0, shown.offset + by);
    again();
  };
  byId("previous").addEventListener("click", turn(-PAGE));
  byId("next").addEventListener("click", turn(PAGE));
}

/** Offers the heads and relations of some facts in the form that adds one. */
export function offerNames(facts) {
  offer("heads", facts.flatMap((fact) => [fact.head, fact.tail]));
  offer("relations", facts.map((fact) => fact.relation));
}
