/** The bar at the foot of the page: what was changed, how the answer followed, and the way back; and errors. */

import { byId, el, name } from "./dom.js";

function dismiss(box) {
  return el("button", { type: "button", class: "link", "aria-label": "Dismiss", click: () => box.replaceChildren() }, "✕");
}

/** Shows an error as its one sentence. */
export function showError(error) {
  const box = byId("alerts");
  box.replaceChildren(el("div", { class: "snack wrong" }, el("p", { dir: "auto" }, error.message), dismiss(box)));
}

/** Takes errors away. */
export function clearError() {
  byId("alerts").replaceChildren();
}

function followed(before, after) {
  if (before === null || after === null) return null;
  const short = (text) => name(text.replace(/\.$/, ""));
  if (before === after) return el("span", {}, " The answer stays ", el("b", {}, short(after)), ".");
  return el("span", {}, " The answer was ", el("del", {}, short(before)), ", is now ", el("b", {}, short(after)), ".");
}

/**
 * Says what was done to the base and what became of the answer.
 * @param undo async function of no argument, or null where there is no way back
 */
export function showChange(what, before, after, undo) {
  const box = byId("changed");
  const back = undo ? el("button", { type: "button", class: "primary undo", "data-write": true, click: undo }, "Undo") : null;
  box.replaceChildren(el("div", { class: "snack" }, el("p", {}, what, " ", followed(before, after)), back, dismiss(box)));
  return back;
}
