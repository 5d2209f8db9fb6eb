"""Questions for the larger place of a place that they do not name: "In which county was Ana Ruiz born?".

People ask so for what two facts say, her birthplace and the county of that town.
"""

from __future__ import annotations

import random

from kblampp.synthetic.open_schema import OpenRelation

LARGER = frozenset(("REGION", "COUNTRY"))
"""Types of the places that others lie in."""
LIES_IN_ONE = frozenset(("BUILDING", "COMPANY", "EVENT", "ORGANIZATION", "SCHOOL", "TEAM"))
"""Types of what is said to lie in a place; of people it is said of one of several places."""
WHERE = "where "


def leads_to_larger(inner: OpenRelation, outer: OpenRelation) -> bool:
    """Whether a fact of `outer` says in which larger place that lies which a fact of `inner` gives.

    Its noun is a word then: not "region governed from there".
    """
    lies_in = outer.kind == "single" and outer.tail in LARGER and " " not in outer.noun
    return lies_in and inner.tail == outer.head and inner.kind != "many"


def implied(inner: OpenRelation, outer: OpenRelation, *, only_place: bool, rng: random.Random) -> str | None:
    """A wording that names neither the place between nor its relation, `{x}` the head; None if there is none.

    Args:
        inner: From the head to a place; one that has followed others is asked for as of now.
        outer: From that place to the larger one.
        only_place: Whether the head has no other relation to a place.
        rng: Source of randomness.
    """
    asked = inner.questions if inner.kind == "single" else inner.current
    found = [_which(wording, outer.noun) for wording in asked if wording.lower().startswith(WHERE)]
    if only_place and inner.head in LIES_IN_ONE:
        found += [f"Which {outer.noun} is {{x}} in?", f"what {outer.noun} is {{x}} in", f"{{x}} {outer.noun}"]
    return rng.choice(found) if found else None


def _which(wording: str, noun: str) -> str:
    """ "Where was {x} born?" as "In which county was {x} born?"."""
    rest = wording[len(WHERE) :]
    which = "which" if rest.rstrip("?").endswith((" from", " to", " in")) else "in which"
    which = which if wording[0].islower() else which[0].upper() + which[1:]
    return f"{which} {noun} {rest}"
