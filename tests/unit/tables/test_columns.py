"""Columns are told by their names, as a caller says, or not at all: then the error names them and says what to do."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kblampp.core.errors import DataError
from kblampp.tables.columns import PARTS, find_columns


def found(header: str, columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """Part -> name of its column."""
    layout = find_columns(header.split(","), "x.csv", columns)
    return {part: layout.name(part) for part in PARTS if part in layout.place}


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("head,relation,tail,context,start,end", "head relation tail context start end"),
        ("end,tail,relation,head", "head relation tail - - end"),
        ("Head,RELATION,Tail", "Head RELATION Tail"),
        (" head , relation,tail", "head relation tail"),
        ("subject,predicate,object", "subject predicate object"),
        ("s,p,o", "s p o"),
        ("h,r,t", "h r t"),
        ("entity,attribute,value", "entity attribute value"),
        ("source,type,target", "source type target"),
        ("source,relationship,target", "source relationship target"),
        ("item,itemLabel,property,propertyLabel,value,valueLabel", "itemLabel propertyLabel valueLabel"),
        ("?itemLabel,?propertyLabel,?valueLabel", "?itemLabel ?propertyLabel ?valueLabel"),
        (":START_ID,:TYPE,:END_ID", ":START_ID :TYPE :END_ID"),
        (":START_ID(Person),:TYPE,:END_ID(Place),since:int", ":START_ID(Person) :TYPE :END_ID(Place) - since:int"),
        ("head,relation,tail,head_type,tail_type,source", "head relation tail"),
        ("subject,predicate,object,source,type,target", "subject predicate object"),
        ("subject,predicate,object,from,until", "subject predicate object - from until"),
        ("s,p,o,Start Date,End-Date", "s p o - Start#Date End-Date"),
        ("s,p,o,valid_from,valid_to", "s p o - valid_from valid_to"),
        ("s,p,o,since,until", "s p o - since until"),
        ("s,p,o,startTime,endTime", "s p o - startTime endTime"),
        ("s,p,o,start_year,start_date", "s p o - start_date"),
        ("s,p,o,description", "s p o description"),
        ("s,p,o,Sentence,notes", "s p o Sentence"),
        (",head,relation,tail", "head relation tail"),
        ("head,relation,tail,,", "head relation tail"),
    ],
)
def test_names_that_people_use_are_understood(header: str, names: str) -> None:
    expected = dict(zip(PARTS, names.replace(" - ", " - ").split(" "), strict=False))
    assert found(header) == {part: name.replace("#", " ") for part, name in expected.items() if name != "-"}


def test_what_is_guessed_and_what_is_not_read_is_said() -> None:
    guessed, unread = find_columns(["Subject", "predicate", "tail", "colour", "", "size"], "x.csv").notes()
    assert "head is 'Subject', relation is 'predicate'" in guessed
    assert "tail" not in guessed
    assert "'colour', 'size'" in unread
    assert list(find_columns(["tail", "head", "relation", ""], "x.csv").notes()) == []


@pytest.mark.parametrize(
    ("header", "columns", "names"),
    [
        ("Name,Property,Value", {"head": "Name"}, "Name Property Value"),
        ("Name,Property,Value", {"head": "name", "relation": "PROPERTY", "tail": "Value"}, "Name Property Value"),
        ("a,b,c", {"head": "c", "relation": "b", "tail": "a"}, "c b a"),
        ("head,relation,tail", {"head": "tail", "tail": "head"}, "tail relation head"),
        ("s,p,o,year", {"start": "year", "end": "year"}, "s p o - year year"),
        ("s,p,o,since", {"start": ""}, "s p o"),
        ("s,p,o,Name,name", {"context": "name"}, "s p o name"),
        ("item,entity,p,o", {"head": "entity"}, "entity p o"),
    ],
)
def test_a_caller_says_which_column_is_which(header: str, columns: Mapping[str, str], names: str) -> None:
    assert found(header, columns) == {
        part: name for part, name in zip(PARTS, names.split(" "), strict=False) if name != "-"
    }


@pytest.mark.parametrize(
    ("header", "columns", "says"),
    [
        (
            "Marlow Dock,architect,Ines Varga",
            None,
            "it has 'Marlow Dock', 'architect', 'Ines Varga'; if that is a fact",
        ),
        ("Marlow Dock,architect,Ines Varga", None, "the table has no header: put a line head,relation,tail before it"),
        ("Name,Property,Thing", None, "lacks columns head, tail: it has 'Name', 'Property', 'Thing'"),
        ("Name,Property,Thing", None, "--columns head=Name,relation=Property,tail=Value"),
        ("head,relation", None, "lacks column tail"),
        ("head,relation,tail,tail", None, "has column 'tail' twice"),
        ("head,relation,tail,end,end,end", None, "has column 'end' 3 times"),
        ("item,entity,p,o", None, "'item' and 'entity', each of which could be head"),
        ("s,p,o", {"head": "Name"}, "has no column 'Name', which is to be head: found 's', 'p', 'o'"),
        ("s,p,o", {"subject": "s"}, "'subject' is no part of a fact: expected head, relation, tail, context"),
        ("s,p,o,n,n", {"context": "n"}, "has column 'n' twice"),
        ("s,p,o", {"head": "s", "tail": "s"}, "column 's' cannot be head and tail at once"),
        ("s,p,o", {"tail": ""}, "lacks column tail"),
    ],
)
def test_columns_that_are_not_certain_are_not_guessed(
    header: str, columns: Mapping[str, str] | None, says: str
) -> None:
    with pytest.raises(DataError) as caught:
        found(header, columns)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_of_many_columns_is_not_listed_whole() -> None:
    with pytest.raises(DataError, match="and 988 more") as caught:
        found(",".join(f"column {number} {'x' * 99}" for number in range(1000)))
    assert len(str(caught.value)) < 1200
