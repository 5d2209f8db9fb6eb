/** The answer, its copied parts marked and linked to their facts. */

import { dayText, readBound, spanText, windowText } from "./dates.js";
import { byId, el, marked, name } from "./dom.js";

const QUOTED = 3;

/** What an answer says, for people. */
export const said = (reply) => (reply.refused ? "The base does not say." : reply.answer);

const allSources = (reply) => reply.parts.flatMap((part) => part.sources);

/** Ids of the facts that an answer was copied from, in its order. */
export const sourcesOf = (reply) => [...new Set(allSources(reply).map((source) => source.fact))];

/** The fields of a fact that were copied. */
export function copiedFields(reply, fact) {
  return new Set(allSources(reply).filter((source) => source.fact === fact).map((source) => source.field));
}

/** Moves to a fact in the list of weights. */
function goTo(event, fact) {
  event.preventDefault();
  const row = byId(`fact-${fact}`);
  if (!row) return;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function link(fact, attributes, ...children) {
  const where = { href: `#fact-${fact}`, "data-fact": fact, click: (event) => goTo(event, fact) };
  return el("a", { ...where, ...attributes }, ...children);
}

function whence(reply, id) {
  const fact = reply.facts.find((one) => one.id === id);
  return fact ? `from: ${fact.head}, ${fact.relation}, ${fact.tail}` : "to its fact";
}

function partNode(part, reply) {
  if (!part.sources.length) return name(part.text);
  const first = part.sources[0].fact;
  return link(first, { class: "part", title: whence(reply, first) }, el("mark", {}, name(part.text)));
}

/** Links to the facts of the parts that several were taken together for, as a count is. */
function together(reply) {
  const sources = reply.parts.filter((part) => part.sources.length > 1).flatMap((part) => part.sources);
  const ids = new Set(sources.map((source) => source.fact));
  const facts = [...ids].map((id) => reply.facts.find((fact) => fact.id === id)).filter(Boolean);
  if (!facts.length) return [];
  const links = facts.map((fact) => link(fact.id, { class: "also", title: whence(reply, fact.id) }, name(fact.tail)));
  return [el("p", { class: "together" }, el("span", { class: "muted" }, `from ${facts.length} facts: `), links)];
}

/** The sentence around the answer: what was copied is marked, the rest is the question's and the model's. */
function written(reply) {
  const nodes = reply.sentence.pieces.map((piece) => (piece.from === "fact" ? partNode(piece, reply) : piece.text));
  return el("p", { class: reply.refused ? "said refused" : "said", dir: "auto" }, nodes);
}

function sentence(reply) {
  if (reply.sentence) return written(reply);
  if (reply.refused) return el("p", { class: "said refused" }, said(reply));
  const parts = reply.parts.length ? reply.parts : [{ text: reply.answer, sources: [] }];
  const nodes = parts.flatMap((part, at) => [at ? "; " : null, partNode(part, reply)]);
  return el("p", { class: reply.answer.length > 120 ? "said long" : "said" }, nodes);
}

function quotes(reply) {
  const facts = sourcesOf(reply).map((id) => reply.facts.find((fact) => fact.id === id)).filter(Boolean);
  return facts.slice(0, QUOTED).map((fact) => {
    const part = copiedFields(reply, fact.id).has("head") ? fact.head : fact.tail;
    const plain = [fact.head, " · ", fact.relation, " · ", el("mark", {}, fact.tail), ` (${windowText(fact)})`];
    const text = fact.context ? marked(fact.context, part) : plain;
    return el("blockquote", { "data-fact": fact.id, dir: "auto" }, text);
  });
}

function terms(reply, asked) {
  const told = [];
  if (reply.time) told.push(`asked about ${spanText(reply.time)}`);
  if (asked.today) told.push(`as of ${dayText(readBound(asked.today, false))}`);
  if (asked.knownAt) told.push(`from what the base said ${asked.knownText}`);
  const beside = told.length ? el("span", { class: "muted" }, ` · ${told.join(" · ")}`) : null;
  return el("p", { class: "asked" }, name(reply.question), beside);
}

/**
 * Shows a reply.
 * @param reply as the API gives it
 * @param asked {today, knownAt, knownText}: what was set beside the question
 * @param before the answer before a change of the base, or null: shown struck out if it was another
 */
export function showAnswer(reply, asked, before) {
  const now = sentence(reply);
  if (before !== null && before !== said(reply)) {
    now.prepend(el("del", {}, el("span", { class: "hidden" }, "before: "), name(before)), " ",
      el("span", { class: "hidden" }, "now: "));
  }
  const told = [];
  if (reply.refused) {
    told.push(el("p", { class: "muted" }, "No fact in it answers this. The nearest ones are listed below."));
  }
  if (reply.own_words) {
    const own = "In the language model's own words: no fact of the base stands behind this.";
    told.push(el("p", { class: "notice" }, own));
  }
  if (reply.problem) told.push(el("p", { class: "notice" }, "The time was not understood: ", name(reply.problem)));
  const several = together(reply);
  byId("answer-body").replaceChildren(terms(reply, asked), now, ...told, ...(several.length ? several : quotes(reply)));
}
