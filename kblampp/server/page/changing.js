/** Changes the base: each change asks the question again and says how the answer followed. */

import { said } from "./answer.js";
import { api } from "./api.js";
import { ask } from "./asking.js";
import { readBase, showTools } from "./base.js";
import { isoDay, todayHere } from "./dates.js";
import { FIELDS, editDialog, endDialog, formError, historyDialog, valuesOf } from "./dialogs.js";
import { byId, el, name } from "./dom.js";
import { clearError, showChange, showError } from "./notices.js";
import { busy, isBusy, state } from "./state.js";

/** Shows an error; where writing is not allowed, what writes is hidden too. */
export function fail(error) {
  if (error.name === "AbortError") return;
  if (error.status === 403) {
    state.writable = false;
    showTools().catch(showError);
  }
  showError(error);
}

const answer = () => (state.reply ? said(state.reply) : null);

/**
 * Writes with `work`, reads the base and asks again.
 * @returns the button that leads back, or what to focus in its place
 */
async function written(what, work, isUndo = false) {
  clearError();
  const before = answer();
  return busy(async () => {
    const { call } = await work();
    const done = call === null ? "Nothing changed: the base says so already." : what;
    let failed = null;
    try {
      await Promise.all([readBase(), ask(isUndo ? null : before)]);
    } catch (error) {
      failed = error;
    }
    const back = isUndo || call === null ? null : () => undo(call);
    const button = showChange(done, failed ? null : before, failed ? null : answer(), back);
    if (failed) fail(failed);
    return button ?? byId("answer-title");
  });
}

const told = (start, { head, relation, tail }) =>
  el("span", {}, start, el("q", {}, name(head), " · ", name(relation), " · ", name(tail)), ".");

async function atOnce(what, work, isUndo) {
  if (isBusy()) return;
  try {
    (await written(what, work, isUndo)).focus({ preventScroll: true });
  } catch (error) {
    fail(error);
  }
}

/** Takes a fact out of the base. */
export const take = (fact) => atOnce(told("Taken away: ", fact), () => api.remove(fact.id));

/** Takes a change back: the one with this number. */
export const undo = (call) => atOnce("Undone.", () => api.undo(call), true);

/** A dialog gives the focus back to what opened it; where that is gone, the way back is next. */
function focusUndo() {
  if (document.activeElement && document.activeElement !== document.body) return;
  byId("changed").querySelector(".undo")?.focus({ preventScroll: true });
}

/** Lets a person change a fact. */
export async function change(fact) {
  await editDialog(fact, (fields) =>
    written(told("Changed: ", { ...fact, ...fields }), () => api.change(fact.id, fields)));
  focusUndo();
}

/** Lets a person say until when a fact held. */
export async function end(fact) {
  const day = state.today || state.here || isoDay(todayHere());
  await endDialog(fact, day, (last) => written(told(`Ended with ${last}: `, fact), () => api.end(fact.id, last)));
  focusUndo();
}

/** Shows what a fact said before. */
export async function showHistory(fact) {
  try {
    historyDialog((await api.history(fact.id)).versions);
  } catch (error) {
    fail(error);
  }
}

/** Opens or closes the form that adds a fact. */
export function openAdd(open) {
  byId("add").hidden = !open;
  byId("add-toggle").setAttribute("aria-expanded", String(open));
  if (open) byId("add").elements.namedItem("head").focus();
}

/** Adds what the form holds; head and relation stay for the next one. */
export async function add() {
  const form = byId("add");
  if (isBusy()) return;
  formError(form, "");
  const fact = valuesOf(form);
  try {
    await written(told("Added: ", fact), () => api.add(fact));
    for (const field of FIELDS.slice(2)) form.elements.namedItem(field).value = "";
    form.elements.namedItem("head").select();
  } catch (error) {
    if (error.status === 403) fail(error);
    else formError(form, error.message);
  }
}
