/** How much each fact weighs, layer by layer. */

import { copiedFields, sourcesOf } from "./answer.js";
import { windowText } from "./dates.js";
import { byId, el, name, percent } from "./dom.js";

const FAINT = 0.0005;
const FEWEST = 3;
const toggled = new Map();

function title(at, count) {
  if (count === 1) return "Read";
  if (at === 0) return "First read";
  return at === count - 1 ? "Last read" : count === 3 ? "Then read" : `Read ${at + 1}`;
}

function bar(share, label) {
  const filled = el("span", { class: "filled" });
  filled.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const range = { "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": (100 * share).toFixed(1) };
  return el("span", { class: "meter", role: "meter", "aria-label": label, ...range }, filled);
}

function words(fact, copied) {
  const field = (key) => (copied.has(key) ? el("mark", {}, name(fact[key])) : name(fact[key]));
  const lasting = windowText(fact);
  const window = copied.has("start") || copied.has("end") ? el("mark", {}, lasting) : lasting;
  const tail = copied.has("tail") ? field("tail") : el("strong", {}, name(fact.tail));
  return [field("head"), " · ", field("relation"), " · ", tail, " ", el("span", { class: "muted window" }, window)];
}

function button(text, kind, what, act) {
  const named = { type: "button", class: `link ${kind}`, "data-write": true, "aria-label": `${text}: ${what}` };
  return el("button", { ...named, click: act }, text);
}

/** A fact and its weight; `place` says that links to the fact lead here. */
function row(fact, alpha, reply, place, tools) {
  const copied = copiedFields(reply, fact.id);
  const what = `${fact.head}, ${fact.relation}, ${fact.tail}`;
  const buttons = tools.editable ? el("span", { class: "tools" },
    button("Change", "", what, () => tools.change(fact)),
    button("Take away", "danger", what, () => tools.take(fact))) : null;
  const weight = alpha === null
    ? [el("span", { class: "muted" }, "not among the heaviest"), el("span", { class: "share" })]
    : [bar(alpha, `Weight of ${what}`), el("span", { class: "share" }, percent(alpha))];
  const kind = { class: copied.size ? "weighed source" : "weighed", "data-fact": fact.id };
  return el("li", { ...kind, ...(place ? { id: `fact-${fact.id}`, tabindex: -1 } : {}) },
    el("span", { class: "words" }, words(fact, copied)), weight, buttons);
}

function noFact(share) {
  return el("li", { class: "weighed none" }, el("span", { class: "words muted" }, "no fact of the base"),
    bar(share, "Weight of no fact"), el("span", { class: "share" }, percent(share)));
}

function layer(entries, at, reply, facts, tools) {
  const last = at === reply.layers.length - 1;
  const heaviest = (index) => reply.layers[index][0]?.fact;
  const another = !last && heaviest(at) !== undefined && heaviest(at) !== heaviest(at + 1);
  const heavy = entries.filter((entry, rank) =>
    facts.has(entry.fact) && (entry.alpha >= FAINT || (last && rank < FEWEST)));
  const list = el("ol", {}, heavy.map((entry) => row(facts.get(entry.fact), entry.alpha, reply, last, tools)));
  if (last && reply.null !== null) list.append(noFact(reply.null));
  const top = facts.get(heaviest(at));
  const glance = top ? el("span", { class: "glance muted" }, name(top.tail), ` ${percent(entries[0].alpha)}`) : null;
  const heading = el("span", {}, title(at, reply.layers.length));
  const summary = el("summary", { click: () => toggled.set(at, !box.open) }, heading, glance);
  const box = el("details", { class: "layer", open: toggled.get(at) ?? (last || another) }, summary, list);
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
