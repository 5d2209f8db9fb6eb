/** Days as whole numbers since 1970-01-01, and how windows are read and said. */

const DAY = 86400000;
const FORM = /^(-?\d{1,6})(?:-(\d{1,2}))?(?:-(\d{1,2}))?$/;
const LONG = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

/** The number of a day; months count from 0 and may lie outside the year. */
export function dayOf(year, month = 0, day = 1) {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return Math.floor(date.getTime() / DAY);
}

/** The day on which a bound lies, of an end the first day after it; null if it is empty or no date. */
export function readBound(text, isEnd) {
  const found = FORM.exec((text ?? "").trim().replace(/^1 BC$/, "0"));  // the one bound that the server writes so
  if (!found) return null;
  const [year, month, day] = found.slice(1).map((part) => (part === undefined ? null : Number(part)));
  if (month === null) return dayOf(year + (isEnd ? 1 : 0));
  if (day === null) return dayOf(year, month - 1 + (isEnd ? 1 : 0));
  return dayOf(year, month - 1, day + (isEnd ? 1 : 0));
}

const dateOf = (day) => new Date(day * DAY);

/** Year and month (from 0) of a day as one number: months since the year 0. */
export const monthOf = (day) => dateOf(day).getUTCFullYear() * 12 + dateOf(day).getUTCMonth();

/** The first day of such a month. */
export const firstOf = (month) => dayOf(Math.floor(month / 12), ((month % 12) + 12) % 12);

/** The year of a day: 0 is the year 1 BC. */
export const yearOf = (day) => dateOf(day).getUTCFullYear();

/** "2012", "44 BC". */
export const yearText = (year) => (year > 0 ? String(year) : `${1 - year} BC`);

/** "2012-05-01", "-0043-03-15". */
export function isoDay(day) {
  const [year, rest] = [yearOf(day), dateOf(day).toISOString().slice(-20, -14)];
  return `${year < 0 ? "-" : ""}${String(Math.abs(year)).padStart(4, "0")}${rest}`;
}

/** "1 May 2012", "15 Mar 44 BC". */
export const dayText = (day) => LONG.format(dateOf(day)) + (yearOf(day) > 0 ? "" : " BC");

/** The day it is here. */
export function todayHere() {
  const now = new Date();
  return dayOf(now.getFullYear(), now.getMonth(), now.getDate());
}

/** "28 Nov 2026, 12:30" of a moment in ISO form. */
export function momentText(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" }).format(date);
}

/** A window in words: "1994 – 2003", "since 2016", "until 2008-05-10", "no time given". */
export function windowText({ start, end }) {
  if (start && end) return start === end ? start : `${start} – ${end}`;
  if (start) return `since ${start}`;
  return end ? `until ${end}` : "no time given";
}

/** The time read from a question, whose last day is included: a whole year or month under its short name. */
export function spanText({ start, end }) {
  const said = (iso) => dayText(readBound(iso, false));
  if (!start || !end) return start ? `from ${said(start)}` : `until ${said(end)}`;
  if (start === end) return said(start);
  const [from, after] = [readBound(start, false), readBound(end, true)];
  const [first, last] = [yearOf(from), yearOf(after - 1)];
  const whole = dayOf(first) === from && dayOf(last + 1) === after;
  if (whole) return first === last ? yearText(first) : `${yearText(first)} – ${yearText(last)}`;
  if (firstOf(monthOf(from)) === from && firstOf(monthOf(from) + 1) === after) return dayText(from).slice(2);
  return `${dayText(from)} – ${dayText(after - 1)}`;
}
