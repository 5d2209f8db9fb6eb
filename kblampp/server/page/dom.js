/** Building of elements.  Data enters the page as text only: nothing here reads markup from a string. */

const SVG = "http://www.w3.org/2000/svg";

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** An HTML element: attributes as given (a function listens to the event of its name), children nodes or text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, made in the same way. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Text of the base in its own direction: Hebrew and Arabic names do not turn what stands around them. */
export const name = (text, attributes = {}) => el("bdi", attributes, text);

/** Calls `work` once, when no call came for some milliseconds. */
export function debounced(work, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}

/** A share as people read it: 0.992 is "99.2 %". */
export function percent(share) {
  const value = 100 * share;
  const digits = (value > 99 && value < 99.95) || (value < 10 && value >= 0.05) ? 1 : 0;
  return `${value.toFixed(digits)} %`;
}

/** Text with each place where `part` stands in it marked. */
export function marked(text, part) {
  if (!part || !text.includes(part)) return [text];
  return text.split(part).flatMap((piece, at) => (at ? [el("mark", {}, part), piece] : [piece]));
}
