/** Shows what the page knows of the base as a whole: its name, its log, its facts and questions to begin with. */

import { api } from "./api.js";
import { widen } from "./asking.js";
import { momentText } from "./dates.js";
import { byId, el, name } from "./dom.js";
import { MOST, examples } from "./examples.js";
import { offerNames, showFacts } from "./facts.js";
import { editable, state, tools, view } from "./state.js";
import { showWhy } from "./why.js";

const SAMPLE = 500;
const NO_CHANGE = ["init", "undo", "rollback"];

const countText = (count) => `${count} ${count === 1 ? "fact" : "facts"}`;

function showLog(calls) {
  const option = (call) => {
    const told = [call.what, call.note, momentText(call.at), call.undone_by === null ? "" : "undone"];
    const text = `after change ${call.id}: ${told.filter(Boolean).join(", ")}`;
    return el("option", { value: String(call.id), "data-said": `after change ${call.id}` }, text);
  };
  const options = calls.slice(1).map(option);
  if (state.knownAt && !options.some((one) => one.value === state.knownAt)) {
    const said = /^\d+$/.test(state.knownAt) ? `after change ${state.knownAt}` : `on ${momentText(state.knownAt)}`;
    options.unshift(el("option", { value: state.knownAt, "data-said": said }, said));
  }
  byId("known").replaceChildren(el("option", { value: "" }, "now"), ...options);
  byId("known").value = state.knownAt;
  const last = calls.find((call) => !NO_CHANGE.includes(call.what) && call.undone_by === null);
  state.last = last?.id;
  byId("undo-last").hidden = !last;
  byId("undo-last").textContent = last ? `Undo: ${last.what}, ${countText(last.facts)}` : "";
}

function showHealth(health) {
  if (health.writable === false) state.writable = false;
  document.title = `${health.base} · KBLaM++`;
  const known = [countText(health.facts), `change ${health.version}`, health.model];
  byId("base").replaceChildren(name(health.base), ` · ${known.join(" · ")}`);
}

function showExamples(facts) {
  byId("examples").replaceChildren(...examples(facts).map((question) =>
    el("button", { type: "button", class: "chip", dir: "auto", click: () => state.tools.ask(question) }, question)));
}

/** Reads the facts that the table is to show. */
export const readFacts = () => showFacts(view(), tools());

/** Reads and shows all of it. */
export async function readBase() {
  const [health, log, sample] = await Promise.all([api.health(), api.log(), api.facts({ limit: SAMPLE })]);
  showHealth(health);
  showLog(log.calls);
  offerNames(sample.facts);
  widen(sample.facts);
  if (byId("examples").childElementCount < MOST) showExamples(sample.facts);
  document.body.classList.toggle("reading", !editable());
  await readFacts();
}

/** Shows or hides what changes the base. */
export async function showTools() {
  document.body.classList.toggle("reading", !editable());
  if (!editable()) byId("add").hidden = true;
  if (state.reply) showWhy(state.reply, tools());
  await readFacts();
}
