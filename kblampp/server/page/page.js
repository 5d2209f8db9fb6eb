/** Wires the page: what a person does on it, and what then happens. */

import { onMissingToken } from "./api.js";
import { ask, showDay } from "./asking.js";
import { readBase, readFacts, showTools } from "./base.js";
import { add, change, end, fail, openAdd, showHistory, take, undo } from "./changing.js";
import { firstOf, isoDay } from "./dates.js";
import { listenToDialogs, tokenDialog } from "./dialogs.js";
import { byId, debounced } from "./dom.js";
import { listenToTable } from "./facts.js";
import { clearError } from "./notices.js";
import { busy, isBusy, state } from "./state.js";

const TYPED = "input:not([type=range], [type=checkbox]), textarea, select, dialog";

function askNew(question) {
  if (isBusy() || !question.trim()) return null;
  state.question = question.trim();
  byId("question").value = question;
  clearError();
  byId("changed").replaceChildren();
  return busy(() => ask()).catch(fail);
}

const askSoon = debounced(() => {
  const table = byId("held").checked ? readFacts() : null;
  Promise.all([ask(), table]).catch(fail);
}, 200);

function asOf(iso) {
  state.today = iso;
  showDay();
  askSoon();
}

/** Lights up a fact wherever it is shown. */
function light(event) {
  const id = event.target.closest?.("[data-fact]")?.dataset.fact;
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  if (!id) return;
  for (const shown of document.querySelectorAll(`[data-fact="${CSS.escape(id)}"]`)) shown.classList.add("lit");
}

function onKey(event) {
  if (event.key !== "/" || event.target.closest?.(TYPED) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  byId("question").focus();
  byId("question").select();
}

function on(id, kind, work) {
  byId(id).addEventListener(kind, (event) => {
    if (kind === "submit") event.preventDefault();
    work(event.target);
  });
}

function listen() {
  on("ask", "submit", () => askNew(byId("question").value));
  on("asof", "input", (slider) => asOf(isoDay(firstOf(Number(slider.value)))));
  on("day", "change", (field) => asOf(field.value));
  on("day-reset", "click", () => {
    asOf("");
    byId("day").focus();
  });
  on("known", "change", (choice) => {
    state.knownAt = choice.value;
    showTools().catch(fail);
    askSoon();
  });
  on("add", "submit", add);
  on("add-toggle", "click", () => openAdd(byId("add").hidden));
  on("undo-last", "click", () => undo(state.last));
  listenToTable(() => readFacts().catch(fail));
  listenToDialogs();
  onMissingToken(tokenDialog);
  for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, light);
  document.addEventListener("keydown", onKey);
}

async function begin() {
  state.tools = { ask: askNew, change, end, take, history: showHistory };
  listen();
  const given = new URLSearchParams(location.search);
  [state.today, state.knownAt] = [given.get("today") ?? "", given.get("known_at") ?? ""];
  showDay();
  byId("question").focus({ preventScroll: true });
  await busy(readBase).catch(fail);
  if (given.get("q")) await askNew(given.get("q"));
}

begin();
