/** Asks, and shows the reply: answer, weights and windows. */

import { showAnswer, sourcesOf } from "./answer.js";
import { api } from "./api.js";
import { dayText, isoDay, monthOf, todayHere } from "./dates.js";
import { byId } from "./dom.js";
import { askedDay, state, tools } from "./state.js";
import { moveDay, showAxis, showTimeline, spanOf } from "./timeline.js";
import { showWhy } from "./why.js";

const HEAVY = 0.02;
let running = null;

/** The facts that weighed, and those of the same head and relation as what answered. */
async function neighbours(reply, signal) {
  const sources = sourcesOf(reply);
  const heavy = reply.layers.flat().filter((entry) => entry.alpha >= HEAVY).map((entry) => entry.fact);
  const weighty = new Set([...sources, ...heavy]);
  const leading = reply.facts.filter((fact) => sources.includes(fact.id));
  const keys = (leading.length ? leading : reply.facts.slice(0, 1)).slice(0, 3);
  const pages = await Promise.all([...new Set(keys.map((fact) => fact.head))].map((head) =>
    api.facts({ search: head, knownAt: state.knownAt, limit: 200 }, signal)));
  const same = pages.flatMap((page) => page.facts)
    .filter((fact) => keys.some((key) => key.head === fact.head && key.relation === fact.relation));
  const order = [...keys, ...same, ...reply.facts.filter((fact) => weighty.has(fact.id))];
  return [...new Map(order.map((fact) => [fact.id, fact])).values()];
}

/** Makes room on the axis for windows; it never shrinks, so that nothing jumps. */
export function widen(windows) {
  const now = spanOf(windows, todayHere());
  const span = state.span ? { low: Math.min(state.span.low, now.low), high: Math.max(state.span.high, now.high) } : now;
  state.span = span;
  [byId("asof").min, byId("asof").max] = [span.low, span.high];
  showAxis(span);
  showDay();
}

/** Shows the day of asking: in the field, on the slider and as a line. */
export function showDay() {
  const day = askedDay();
  byId("day").value = isoDay(day);
  byId("day-reset").disabled = !state.today;
  byId("asof").value = String(monthOf(day));
  byId("asof").setAttribute("aria-valuetext", dayText(day));
  if (state.span) moveDay(day, state.span);
}

function keepAddress() {
  const all = { q: state.question, today: state.today, known_at: state.knownAt };
  const given = Object.entries(all).filter(([, value]) => value);
  history.replaceState(null, "", given.length ? `?${new URLSearchParams(given)}` : location.pathname);
}

/**
 * Asks the question of the page, if there is one; a later call takes the place of an earlier one.
 * @param before the answer before a change of the base, to stand struck out beside the new one
 */
export async function ask(before = null) {
  running?.abort();
  if (!state.question) return;
  const mine = (running = new AbortController());
  const { question, today, knownAt } = state;
  byId("answer").classList.add("pending");
  try {
    const reply = await api.ask({ question, today, knownAt }, mine.signal);
    const rows = await neighbours(reply, mine.signal);
    if (mine !== running) return;
    state.reply = reply;
    if (!today) state.here = reply.today;
    widen([...rows, ...(reply.time ? [reply.time] : [])]);
    const knownText = byId("known").selectedOptions[0]?.dataset.said ?? "";
    showAnswer(reply, { today, knownAt, knownText }, before);
    showWhy(reply, tools());
    showTimeline(reply, rows, state.span, askedDay());
    keepAddress();
  } finally {
    if (mine === running) byId("answer").classList.remove("pending");
  }
}
