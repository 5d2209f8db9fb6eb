"""The commands that write to a base."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer

from kblampp.asking.quiet import quiet
from kblampp.base.editing import changed
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.cli.output import (
    Base,
    FactId,
    Json,
    Model,
    Note,
    call_id,
    counted,
    fact_id,
    fact_line,
    give,
    give_call,
    moment,
    say,
)
from kblampp.core.errors import DataError, KBLaMError
from kblampp.tables.reading import TableReading, preview, read_facts_table, write_rejected
from kblampp.tables.writing import state_row

Start = Annotated[
    str | None, typer.Option(help="First year, month or day on which it holds: 2009, 2009-03, 2009-03-02.")
]
End = Annotated[str | None, typer.Option(help="Last year, month or day on which it holds; it counts whole.")]
Context = Annotated[str | None, typer.Option(metavar="SENTENCE", help="The sentence that says so.")]


def init(base: Base, as_json: Json = False) -> None:
    """Make an empty knowledge base.

    Example: kblampp init my.kb
    """
    KnowledgeBase.create(base).close()
    give({"base": str(base)}, [f"made {base}; next: kblampp import {base} facts.csv"], as_json=as_json)


def import_(
    base: Base,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Table of facts: CSV, TSV or JSON lines.")],
    columns: Annotated[
        str, typer.Option(metavar="head=NAME,…", help="Which column is which, where their names do not say.")
    ] = "",
    encoding: Annotated[
        str | None, typer.Option(help="Of the file, where it is not found out: cp1252, utf-16, …")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before writing.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the file is understood, and write nothing.")
    ] = False,
    encode: Annotated[
        bool, typer.Option(help="Make the vectors at once, rather than when the base is next asked.")
    ] = True,
    model: Model = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Add the facts of a table, after a look at how it was understood.

    Rows that cannot be read are kept in a file beside the table, each with its reason; where none can be read, the exit
    status is 1.

    Example: kblampp import my.kb staff.csv --columns head=Person,relation=Role,tail=Unit
    """
    with KnowledgeBase.open(base) as opened:
        reading = read_facts_table(file, columns=_mapping(columns), encoding=encoding)
        for line in preview(reading):
            say(line)
        rejected = _free(file)
        if reading.rejected:
            verb = "would be" if dry_run else "will be"
            say(f"{counted(len(reading.rejected), 'row')} cannot be read and {verb} kept in {rejected}, with reasons")
        if reading.rejected and not reading.facts:
            if not dry_run:
                write_rejected(reading, rejected)
            give(_counts(reading, 0, None if dry_run else rejected), [], as_json=as_json)
            where = "stand above" if dry_run else f"are in {rejected}"
            raise DataError(f"no row of {file} could be read, and nothing was added: mend them, the reasons {where}")
        question = f"Add {counted(len(reading.facts), 'fact')} to {base}?"
        if dry_run or (not yes and sys.stdin.isatty() and not _agreed(question)):
            give(_counts(reading, 0, None), ["nothing was written"], as_json=as_json)
            return
        if reading.rejected:  # first, so that nothing is dropped where it cannot be kept
            write_rejected(reading, rejected)
        before = opened.count()
        opened.add([row.fact for row in reading.facts], what="import", note=note or file.name)
        added = opened.count() - before
        lines = [f"added {counted(added, 'fact')} to {base}, which has {before + added} now"]
        known = len(reading.facts) - added
        if known:
            lines.append(f"{known} of the table's rows say what the base, or an earlier row, says already")
        give(_counts(reading, added, rejected if reading.rejected else None), lines, as_json=as_json)
        if encode and added:
            try:
                _encode(opened, model)
            except KBLaMError as error:  # the facts are there
                say(f"note: the vectors are not made yet, the next question will: {error}")


def add(
    base: Base,
    head: Annotated[str, typer.Argument(help="Who or what.")],
    relation: Annotated[str, typer.Argument(help="Which property, in plain words.")],
    tail: Annotated[str, typer.Argument(help="Its value.")],
    start: Start = None,
    end: End = None,
    context: Context = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Add one fact.

    Example: kblampp add my.kb "Harrowgate Museum" director "Odile Brennan" --start 1994 --end 2003
    """
    with KnowledgeBase.open(base) as opened:
        before = opened.version
        fields = {"context": context or "", "start": start or "", "end": end or ""}
        number = opened.add_fact(head, relation, tail, **fields, note=note)
        version = opened.fact(number)
        known = "" if opened.version > before else "known already: "
        give(state_row(version), [known + fact_line(number, version.content)], as_json=as_json)


def change(
    base: Base,
    fact: FactId,
    head: Annotated[str | None, typer.Option(help="Who or what.")] = None,
    relation: Annotated[str | None, typer.Option(help="Which property.")] = None,
    tail: Annotated[str | None, typer.Option(help="Its value.")] = None,
    start: Start = None,
    end: End = None,
    context: Context = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Change what a fact says; what is not named stays. An empty text ("") takes a date or sentence away.

    Example: kblampp change my.kb 3 --tail "Odile Brenner"
    """
    fields = {"head": head, "relation": relation, "tail": tail, "start": start, "end": end, "context": context}
    if all(text is None for text in fields.values()):
        raise DataError("nothing to change was named: give --head, --relation, --tail, --start, --end or --context")
    with KnowledgeBase.open(base) as opened:
        opened.change(fact, lambda now: changed(now, **fields), note=note)
        version = opened.fact(fact)
        give(state_row(version), [fact_line(fact, version.content)], as_json=as_json)


def end(
    base: Base,
    fact: FactId,
    last: Annotated[str, typer.Argument(metavar="LAST", help="Last year, month or day on which it holds.")],
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Say when a fact has stopped to hold.

    Example: kblampp end my.kb 5 2024-06-30
    """
    with KnowledgeBase.open(base) as opened:
        opened.end(fact, last, note=note)
        version = opened.fact(fact)
        give(state_row(version), [fact_line(fact, version.content)], as_json=as_json)


def delete(
    base: Base,
    facts: Annotated[list[int], typer.Argument(metavar="ID…", help="Ids of facts.", parser=fact_id)],
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Take facts away. Their history stays, and `undo` brings them back.

    Example: kblampp delete my.kb 7 8
    """
    with KnowledgeBase.open(base) as opened:
        call = opened.delete(facts, note=note)
        give_call(call, f"took {counted(call.facts, 'fact')} away", as_json=as_json)


def undo(
    base: Base,
    call: Annotated[
        int | None, typer.Argument(metavar="[CALL]", help="Its number; the last one without.", parser=call_id)
    ] = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Take a call back.

    Example: kblampp undo my.kb
    """
    with KnowledgeBase.open(base) as opened:
        done = opened.undo(call, note=note)
        give_call(done, f"undone {done.note}: {counted(done.facts, 'fact')} as before", as_json=as_json)


def rollback(
    base: Base,
    to: Annotated[str, typer.Argument(metavar="WHEN", help="A call's number, or a moment such as 2026-11-23T09:30.")],
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Make the base say what it said after a call or at a moment.

    Example: kblampp rollback my.kb 2026-11-23
    """
    with KnowledgeBase.open(base) as opened:
        point = moment(to)
        done = opened.rollback(to if point is None else point, note=note)
        give_call(done, f"rolled back: {counted(done.facts, 'fact')} changed", as_json=as_json)


def compact(base: Base, model: Model = None, as_json: Json = False) -> None:
    """Make the base small.

    Missing vectors are made, those that nothing needs are removed, and their space goes back to the disk.  A large base
    gets a segment of its present state, from which it opens at once.

    Example: kblampp compact my.kb
    """
    with KnowledgeBase.open(base) as opened:
        gone = _encode(opened, model, forget=True)
        opened.database.vacuum()
        give({"forgotten": gone}, [f"removed {counted(gone, 'vector')} that nothing needs"], as_json=as_json)


def _encode(base: KnowledgeBase, model: Path | None, *, forget: bool = False) -> int:
    """Makes the vectors that the base lacks; with `forget` how many of others were removed."""
    quiet()
    from kblampp.asking.kb_model import KBModel  # brings torch along, which other commands need not wait for
    from kblampp.base.vectors import VectorTable
    from kblampp.snapshots import segments
    from kblampp.snapshots.compaction import compact

    encoder = KBModel.open_encoder(model)
    table = VectorTable(base.database, encoder)
    table.make_missing()
    compact(base, encoder, base.version)
    if forget:
        segments.forget_others(base, encoder.fingerprint)
    return table.forget_others() if forget else 0


def _free(table: Path) -> Path:
    """A name beside a table that no file has, for what could not be read of it."""
    names = (f"{table.name}.rejected{(number and f'-{number}') or ''}.csv" for number in itertools.count())
    return next(path for path in map(table.with_name, names) if not path.exists())


def _agreed(question: str) -> bool:
    """Whether a person at the terminal says yes, or nothing."""
    sys.stderr.write(f"{question} [Y/n] ")
    sys.stderr.flush()
    return sys.stdin.readline().lower().strip(" \r") in ("\n", "y\n", "yes\n")


def _mapping(columns: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (part.strip() for part in columns.split(","))):
        name, sign, column = part.partition("=")
        if not sign or not name.strip() or not column.strip():
            raise DataError(f"--columns has {part!r}: expected head=NAME,relation=NAME,tail=NAME")
        found[name.strip()] = column.strip()
    return found


def _counts(reading: TableReading, added: int, rejected: Path | None) -> dict[str, object]:
    return {
        "added": added,
        "read": len(reading.facts),
        "rejected": len(reading.rejected),
        "rejected_file": None if rejected is None else str(rejected),
        "notes": reading.notes,
    }
