"""Which column of a table is what: by its own names, as a caller says, or by names that other people use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kblampp.core.errors import DataError
from kblampp.tables.decoding import shown, stripped

NEEDED = ("head", "relation", "tail")
PARTS = (*NEEDED, "context", "start", "end")
HOW = "--columns head=Name,relation=Property,tail=Value"

# Names as `_plain` makes them.  A column of an earlier group is preferred; two of one group are not chosen between.
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "head": (
        "head",
        "headlabel headname subjectlabel subjectname itemlabel entitylabel sourcelabel sourcename",
        "subject subj s h item entity headentity entity1 arg1",
        "startid source sourcenode",
    ),
    "relation": (
        "relation",
        "relationlabel relationname predicatelabel predicatename propertylabel propertyname",
        "predicate pred p r property proplabel attribute relationship rel relationtype relationshiptype",
        "type edge edgetype edgelabel",
    ),
    "tail": (
        "tail",
        "taillabel tailname objectlabel objectname valuelabel targetlabel targetname",
        "object obj o t value tailentity entity2 arg2",
        "endid target targetnode",
    ),
    "context": ("context", "sentence", "evidence", "sentspan", "description", "passage", "text"),
    "start": (
        *(
            "start",
            "startdate",
            "starttime",
            "startday",
            "starton",
            "startmonth",
            "startyear",
            "validfrom",
            "validsince",
        ),
        *("fromdate", "datefrom", "fromyear", "from", "since", "begin", "begindate", "begintime", "beginyear"),
        *("beginning", "timestart", "tmin", "starttimelabel", "startlabel"),
    ),
    "end": (
        *("end", "enddate", "endtime", "endday", "endon", "endmonth", "endyear", "validto", "validuntil", "validtill"),
        *("todate", "untildate", "dateto", "toyear", "untilyear", "until", "till", "to", "thru", "through", "finish"),
        *("finishdate", "timeend", "tmax", "endtimelabel", "endlabel"),
    ),
}


@dataclass(frozen=True)
class Layout:
    """How the columns of a table are understood.

    Attributes:
        names: Of all columns, as they stand.
        place: Part -> its column, from 0.
        guessed: Parts whose column has another name and was not said.
    """

    names: tuple[str, ...]
    place: Mapping[str, int]
    guessed: tuple[str, ...]

    def name(self, part: str) -> str:
        """The name of the column of a part; of a part without one its own."""
        return shown(self.names[self.place[part]]) if part in self.place else part

    def notes(self) -> Iterable[str]:
        """What is to be said of it: columns that were guessed, and those that are not read."""
        if self.guessed:
            yield f"columns by their names: {', '.join(f'{part} is {self.name(part)!r}' for part in self.guessed)}"
        unread = [name for number, name in enumerate(self.names) if number not in self.place.values() and name]
        if unread:
            yield f"columns that are not read: {_list(unread)} (known parts are {', '.join(PARTS)})"


def understood(names: Sequence[str], asked: Mapping[str, str]) -> int:
    """How many of the parts that a table needs have a column that could be it."""
    plain = {_plain(name) for name in names}
    known = {part: set(" ".join(_KNOWN[part]).split()) for part in NEEDED}
    return sum(
        asked[part] in names or _plain(asked[part]) in plain if part in asked else bool(plain & known[part])
        for part in NEEDED
    )


def find_columns(
    names: Sequence[str], where: str, columns: Mapping[str, str] | None = None, *, header: bool = True
) -> Layout:
    """Tells the columns of a table by its first line, or those of objects by their fields.

    Args:
        names: What stands there.
        where: What errors call the table.
        columns: Part -> name of its column, where that is said; "" for a part that is not to be read.
        header: Whether the names are the first line of a table.

    Raises:
        DataError: A column is missing, named twice, or there are two that could be it.
    """
    names = tuple(stripped(name) for name in names)
    asked = dict(columns or {})
    for part in asked:
        if part not in PARTS:
            raise DataError(f"{part!r} is no part of a fact: expected {', '.join(PARTS)}, such as {HOW}")
    place = {part: _asked(name, names, where, part) for part, name in asked.items() if name}
    _check_shared(place, names, where)
    guessed = []
    missing = []
    for part in (part for part in PARTS if part not in asked):
        number = _guess(part, names, set(place.values()), where)
        if number is not None:
            place[part] = number
            guessed += [part] if names[number] != part else []
    missing = [part for part in NEEDED if part not in place]
    if missing:
        raise DataError(_missing(missing, names, where, header))
    return Layout(names, place, tuple(guessed))


def _asked(name: str, names: Sequence[str], where: str, part: str) -> int:
    for same in (lambda other: other == name, lambda other: _plain(other) == _plain(name)):
        found = [number for number, other in enumerate(names) if same(other)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"{where} has column {shown(name)!r} {_times(len(found))}, which is to be {part}: rename one of them"
            )
    raise DataError(f"{where} has no column {shown(name)!r}, which is to be {part}: found {_list(names)}")


def _check_shared(place: Mapping[str, int], names: Sequence[str], where: str) -> None:
    """A column may be start and end at once, as that of an event's day, and nothing else twice."""
    for number, times in Counter(place.values()).items():
        parts = [part for part, other in place.items() if other == number]
        if times > 1 and set(parts) != {"start", "end"}:
            raise DataError(f"{where}: column {shown(names[number])!r} cannot be {' and '.join(parts)} at once")


def _guess(part: str, names: Sequence[str], taken: set[int], where: str) -> int | None:
    """The column that is a part by its name, None if there is none."""
    plain = [_plain(name) for name in names]
    for group in _KNOWN[part]:
        found = [number for number, name in enumerate(plain) if name in group.split() and number not in taken]
        exact = [number for number in found if names[number] == part]
        found = exact if len(exact) == 1 else found
        if len(found) == 1:
            return found[0]
        if found and len({names[number] for number in found}) == 1:
            raise DataError(
                f"{where} has column {shown(names[found[0]])!r} {_times(len(found))}: remove or rename one of them"
            )
        if found:
            both = " and ".join(repr(shown(names[number])) for number in found)
            raise DataError(
                f"{where} has columns {both}, each of which could be {part}: say which is, as in "
                f"--columns {part}={shown(names[found[0]])}, or rename one of them"
            )
    return None


def _missing(missing: Sequence[str], names: Sequence[str], where: str, header: bool) -> str:
    what = f"{'column' if len(missing) == 1 else 'columns'} {', '.join(missing)}"
    if header and len(missing) == len(NEEDED):
        return (
            f"{where} lacks {what}: it has {_list(names)}; if that is a fact already, the table has no header: "
            f"put a line {','.join(NEEDED)} before it; else rename the columns, or say which they are: {HOW}"
        )
    return f"{where} lacks {what}: it has {_list(names)}; rename columns, or say which they are: {HOW}"


def _plain(name: str) -> str:
    """A column's name without case, blanks and marks: ":START_ID(Person)", "Start Date" and "since:int" of Neo4j."""
    name = re.sub(r"\([^()]*\)$|(?<=\w):\w+(?:\[\])?$", "", stripped(name))
    return re.sub(r"[\W_]+", "", name).casefold()


def _times(number: int) -> str:
    return "twice" if number == 2 else f"{number} times"


def _list(names: Sequence[str]) -> str:
    some = [repr(shown(name if len(name) <= 40 else f"{name[:40]}…")) for name in names[:12]]
    return ", ".join(some) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
