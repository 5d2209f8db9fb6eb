/** How much each fact weighs, layer by layer. */

import { copiedFields, sourcesOf } from "./answer.js";
import { windowText } from "./dates.js";
import { byId, el, name, percent } from "./dom.js";

const FAINT = 0.0005;
const toggled = new Map();

function title(at, count) {
  if (count === 1) return "Read";
  if (at === 0) return "First read";
  return at === count - 1 ? "Last read" : count === 3 ? "Then read" : `Read ${at + 1}`;
}

function bar(share, label) {
  const filled = el("span", { class: "filled" });
  filled.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const meter = { class: "meter", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": (100 * share).toFixed(1), "aria-label": label };
  return el("span", meter, filled);
}

function words(fact, copied) {
  const field = (key) => (copied.has(key) ? el("mark", {}, name(fact[key])) : name(fact[key]));
  const window = copied.has("start") || copied.has("end") ? el("mark", {}, windowText(fact)) : windowText(fact);
  return [field("head"), el("span", { class: "dot" }, " · "), field("relation"), el("span", { class: "dot" }, " · "),
    copied.has("tail") ? field("tail") : el("strong", {}, name(fact.tail)), " ", el("span", { class: "muted window" }, window)];
}

function row(fact, alpha, reply, place, tools) {
  const copied = copiedFields(reply, fact.id);
  const what = `${fact.head}, ${fact.relation}, ${fact.tail}`;
  const buttons = tools.editable
    ? el("span", { class: "tools" },
      el("button", { type: "button", class: "link", "data-write": true, "aria-label": `Change: ${what}`, click: () => tools.change(fact) }, "Change"),
      el("button", { type: "button", class: "link danger", "data-write": true, "aria-label": `Take away: ${what}`, click: () => tools.take(fact) }, "Take away"))
    : null;
  const weight = alpha === null ? [el("span", { class: "muted" }, "not among the heaviest"), el("span", { class: "share" })]
    : [bar(alpha, `Weight of ${what}`), el("span", { class: "share" }, percent(alpha))];
  return el("li", { id: place ? `fact-${fact.id}` : null, class: copied.size ? "weighed source" : "weighed", "data-fact": fact.id, tabindex: place ? -1 : null },
    el("span", { class: "words" }, words(fact, copied)), weight, buttons);
}

function layer(entries, at, reply, facts, tools) {
  const count = reply.layers.length;
  const last = at === count - 1;
  const heaviest = (index) => reply.layers[index][0]?.fact;
  const another = !last && heaviest(at) !== undefined && heaviest(at) !== heaviest(at + 1);
  const list = el("ol", {}, entries.filter((entry) => facts.has(entry.fact) && (last || entry.alpha >= FAINT))
    .map((entry) => row(facts.get(entry.fact), entry.alpha, reply, last, tools)));
  if (last) {
    list.append(el("li", { class: "weighed none" }, el("span", { class: "words muted" }, "no fact of the base"),
      bar(reply.null, "Weight of no fact"), el("span", { class: "share" }, percent(reply.null))));
  }
  const top = facts.get(heaviest(at));
  const glance = top ? [" ", el("span", { class: "glance muted" }, name(top.tail), ` ${percent(entries[0].alpha)}`)] : [];
  const head = el("summary", { click: () => toggled.set(at, !box.open) }, el("span", {}, title(at, count)), ...glance);
  const box = el("details", { class: "layer", open: toggled.get(at) ?? (last || another) }, head, list);
  return box;
}

/**
 * Shows the weights of a reply.
 * @param tools {editable, take(fact), change(fact)}
 */
export function showWhy(reply, tools) {
  const facts = new Map(reply.facts.map((fact) => [fact.id, fact]));
  const layers = reply.layers.map((entries, at) => layer(entries, at, reply, facts, tools));
  const listed = new Set((reply.layers.at(-1) ?? []).map((entry) => entry.fact));
  const also = sourcesOf(reply).filter((id) => !listed.has(id) && facts.has(id));
  if (also.length) {
    layers.push(el("section", { class: "layer" }, el("h3", {}, "Also copied from"),
      el("ol", {}, also.map((id) => row(facts.get(id), null, reply, true, tools)))));
  }
  byId("why-title").textContent = reply.refused ? "The nearest facts" : "Why";
  byId("why").replaceChildren(...layers);
}
