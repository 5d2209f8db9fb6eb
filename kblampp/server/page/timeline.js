/** The windows of facts on one axis, with the time asked about and the day of asking. */

import { copiedFields } from "./answer.js";
import { dayText, firstOf, monthOf, readBound, spanText, windowText, yearOf, yearText, dayOf } from "./dates.js";
import { byId, el, name, svg } from "./dom.js";

const MOST = 12;
const TICKS = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000];

/** The months (numbers as of `monthOf`) that the axis spans: all windows known, the time asked about and today. */
export function spanOf(windows, today) {
  const bounds = windows.flatMap(({ start, end }) => [readBound(start, false), readBound(end, true)]);
  const months = [...bounds.filter((day) => day !== null), today].map(monthOf);
  const [low, high] = [Math.min(...months), Math.max(...months)];
  const room = Math.max(3, Math.round((high - low) / 30));
  return { low: Math.max(12, low - room), high: high + room };
}

/** Percent of the axis at which a day lies, held inside it. */
function place(day, span) {
  const [low, high] = [firstOf(span.low), firstOf(span.high)];
  return 100 * Math.min(1, Math.max(0, (day - low) / (high - low)));
}

const at = (value) => `${value.toFixed(3)}%`;

function gradients() {
  const one = (id, kind, stops) => svg("linearGradient", { id }, stops.map(([offset, opacity]) =>
    svg("stop", { class: kind, offset, "stop-opacity": opacity })));
  return svg("defs", {}, ["source", "other"].flatMap((kind) => [
    one(`${kind}-open-end`, kind, [["0%", 1], ["70%", 1], ["100%", 0.15]]),
    one(`${kind}-open-start`, kind, [["0%", 0.15], ["30%", 1], ["100%", 1]])]));
}

function bar(fact, span, kind) {
  const [start, end] = [readBound(fact.start, false), readBound(fact.end, true)];
  const box = svg("svg", { class: `window ${kind}`, "aria-hidden": "true" });
  if (start === null && end === null) {
    box.append(svg("line", { x1: "0%", x2: "100%", y1: 4, y2: 4, class: "always" }));
    return box;
  }
  const [from, to] = [start === null ? 0 : place(start, span), end === null ? 100 : place(end, span)];
  const open = end === null ? "end" : start === null ? "start" : null;
  const shape = { x: at(from), width: at(Math.max(0.6, to - from)), y: 0, height: 8, rx: 3 };
  box.append(svg("rect", open ? { ...shape, fill: `url(#${kind}-open-${open})` } : { ...shape, class: kind }));
  return box;
}

function line(fact, span, reply) {
  const kind = copiedFields(reply, fact.id).size ? "source" : "other";
  return el("li", { class: `lasting ${kind}`, "data-fact": fact.id },
    el("span", { class: "who" }, name(fact.tail)),
    el("span", { class: "window-text muted" }, windowText(fact)),
    bar(fact, span, kind));
}

/** Facts under one head and relation, oldest first; the groups in the order of their first fact. */
function groups(facts) {
  const found = new Map();
  for (const fact of facts.slice(0, MOST)) {
    const key = JSON.stringify([fact.head, fact.relation]);
    found.set(key, [...(found.get(key) ?? []), fact]);
  }
  const begin = (fact) => readBound(fact.start, false) ?? -Infinity;
  return [...found.values()].map((group) => group.sort((one, other) => begin(one) - begin(other) || 0));
}

function legend(reply, today) {
  const asked = reply.time ? [el("span", { class: "key band" }), `asked about ${spanText(reply.time)}`] : [];
  return [...(asked.length ? [el("span", {}, asked)] : []),
    el("span", {}, el("span", { class: "key day" }), `day of asking ${dayText(today)}`)];
}

function backdrop(reply, span, today) {
  const marks = svg("svg", { class: "backdrop", "aria-hidden": "true" }, gradients());
  if (reply.time) {
    const from = reply.time.start ? place(readBound(reply.time.start, false), span) : 0;
    const to = reply.time.end ? place(readBound(reply.time.end, true), span) : 100;
    const width = at(Math.max(0.7, to - from));
    marks.append(svg("rect", { class: "band", x: at(from), y: 0, width, height: "100%" }));
  }
  const x = at(place(today, span));
  marks.append(svg("line", { id: "day-line", x1: x, x2: x, y1: 0, y2: "100%", class: "day" }));
  return marks;
}

/** Shows the windows of `facts`. */
export function showTimeline(reply, facts, span, today) {
  const lists = groups(facts).map((group) => [
    el("h3", {}, name(group[0].head), " · ", name(group[0].relation)),
    el("ol", {}, group.map((fact) => line(fact, span, reply)))]);
  const more = facts.length > MOST ? el("p", { class: "muted" }, `and ${facts.length - MOST} more`) : null;
  byId("timeline").replaceChildren(...[backdrop(reply, span, today), ...lists.flat(), more].filter(Boolean));
  byId("legend").replaceChildren(...legend(reply, today));
}

/** Moves the line of the day of asking alone. */
export function moveDay(day, span) {
  for (const side of ["x1", "x2"]) byId("day-line")?.setAttribute(side, at(place(day, span)));
}

/** Writes the years under the slider. */
export function showAxis(span) {
  const [low, high] = [yearOf(firstOf(span.low)) + 1, yearOf(firstOf(span.high))];
  const step = TICKS.find((one) => (high - low) / one <= 6) ?? 5000;
  const years = [];
  for (let year = Math.ceil(low / step) * step; year <= high; year += step) years.push(year);
  byId("axis").replaceChildren(...years.map((year) => {
    const tick = el("span", {}, yearText(year));
    tick.style.insetInlineStart = at(place(dayOf(year), span));
    return tick;
  }));
}
