/** What the page knows, and what holds while something is under way. */

import { isoDay, readBound, todayHere } from "./dates.js";
import { byId } from "./dom.js";

/**
 * question, today ("" = now) and knownAt ("" = now): what is asked, and from when;
 * reply: the last one; here: the day it is for the server; span: months of the axis;
 * last: the number of the last change that can be undone; tools: what the buttons of a fact call
 */
export const state = {
  question: "", today: "", knownAt: "", reply: null, here: "", writable: true, span: null, last: undefined, tools: {},
};

let running = 0;

/** Whether facts may be changed: the past is only looked at. */
export const editable = () => state.writable && !state.knownAt;

/** What the buttons of a fact call, and whether those that change it are shown. */
export const tools = () => ({ editable: editable(), ...state.tools });

/** The day of asking, as a number. */
export const askedDay = () => readBound(state.today || state.here, false) ?? todayHere();

/** What the table of facts is to show. */
export const view = () => ({ heldOn: isoDay(askedDay()), knownAt: state.knownAt });

/** Whether something is under way. */
export const isBusy = () => running > 0;

function show() {
  document.body.classList.toggle("busy", isBusy());
  byId("answer").setAttribute("aria-busy", String(isBusy()));
  for (const button of document.querySelectorAll("[data-write], #ask button, .chip")) button.disabled = isBusy();
}

/** Holds the buttons back while `work` is under way. */
export async function busy(work) {
  running += 1;
  show();
  try {
    return await work();
  } finally {
    running -= 1;
    show();
  }
}
