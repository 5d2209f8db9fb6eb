/** Questions to begin with, made from the facts of the base. */

import { dayOf, readBound, yearOf } from "./dates.js";

const ROLES = `author captain ceo chair chairman chairperson chairwoman chief child coach composer conductor director
  editor father founded founder governor husband king leader manager mayor member minister mother officer owned owner
  parent performer president queen rector secretary spouse wife`.split(/\s+/);
const PEOPLE = new RegExp(`\\b(${ROLES.join("|")})\\b`, "i");
/** Most questions offered. */
export const MOST = 4;

const asks = (relation) => (PEOPLE.test(relation) ? "Who" : "What");

function now({ head, relation }) {
  return /\bby$/i.test(relation) ? `Who was ${head} ${relation}?` : `${asks(relation)} is the ${relation} of ${head}?`;
}

function then(fact) {
  const [start, end] = [readBound(fact.start, false), readBound(fact.end, true)];
  const year = yearOf(Math.floor((start + end) / 2));
  return dayOf(year) >= start ? `${asks(fact.relation)} was the ${fact.relation} of ${fact.head} in ${year}?` : null;
}

function twoSteps(facts) {
  for (const first of facts) {
    const second = facts.find((fact) => fact.head === first.tail && fact.relation !== first.relation);
    if (second && !/\bby$/i.test(first.relation) && !/\bby$/i.test(second.relation) && !first.end) {
      return `${asks(second.relation)} is the ${second.relation} of the ${first.relation} of ${first.head}?`;
    }
  }
  return null;
}

/** Up to four questions: at a time past, today, over two facts, and others. */
export function examples(facts) {
  const past = facts.find((fact) => readBound(fact.start, false) !== null && readBound(fact.end, true) !== null);
  const open = facts.filter((fact) => !fact.end);
  const others = [...new Map(open.map((fact) => [fact.relation, fact])).values()];
  const found = [past && then(past), open[0] && now(open[0]), twoSteps(facts), ...others.map(now)];
  return [...new Set(found.filter(Boolean))].slice(0, MOST);
}
