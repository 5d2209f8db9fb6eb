/** The bar at the foot of the page: what was changed, how the answer followed, and the way back; and errors. */

import { byId, el, name } from "./dom.js";

function dismiss(box) {
  const close = () => box.replaceChildren();
  return el("button", { type: "button", class: "link", "aria-label": "Dismiss", click: close }, "✕");
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
  const kind = { type: "button", class: "primary undo", "data-write": true };
  const back = undo ? el("button", { ...kind, click: undo }, "Undo") : null;
  const told = el("p", {}, what, " ", followed(before, after));
  box.replaceChildren(el("div", { class: "snack" }, told, back, dismiss(box)));
  return back;
}
