"""The commands that read a base."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.cli.output import Base, FactId, Json, KnownAt, day_of, give, moment, whole
from kblampp.core.errors import DataError, StoreError
from kblampp.tables.writing import aligned, span, state_row

MOST_SHOWN = 10**9


def facts(
    base: Base,
    search: Annotated[str, typer.Argument(metavar="[WORDS]", help="Words that a fact must hold, in any case.")] = "",
    on: Annotated[str | None, typer.Option(metavar="DAY", help="Only facts that hold on a day, 2012-05-01.")] = None,
    known_at: KnownAt = None,
    limit: Annotated[int, typer.Option(parser=whole(1, MOST_SHOWN), metavar="N", help="Most facts shown.")] = 50,
    as_json: Json = False,
) -> None:
    """Show facts, with their ids.

    Example: kblampp facts my.kb director --on 2001-01-01
    """
    with KnowledgeBase.open(base, read_only=True) as opened:
        wanted = {"search": search, "held_on": day_of(on, "--on"), "known_at": moment(known_at)}
        found, total = opened.facts(**wanted, limit=limit), opened.count(**wanted)  # type: ignore[arg-type]
    rows = [("id", "head", "relation", "tail", "holds")]
    for version in found:
        fact = version.content
        rows.append((str(version.fact), fact.head.name, fact.relation.name, fact.tail.name, span(fact.window)))
    left = [f"{total - len(found)} more: --limit {total} shows all"] if total > len(found) else []
    lines = [*aligned(rows), *left] if found else ["no fact"]
    give({"total": total, "facts": [state_row(version) for version in found]}, lines, as_json=as_json)


def history(base: Base, fact: FactId, as_json: Json = False) -> None:
    """Show all that a fact has said, the oldest first.

    Example: kblampp history my.kb 3
    """
    with KnowledgeBase.open(base, read_only=True) as opened:
        versions = opened.history(fact)
    rows = [("call", "written", "until", "head", "relation", "tail", "holds")]
    for version in versions:
        content = version.content
        names = (content.head.name, content.relation.name, content.tail.name)
        rows.append(
            (str(version.call), version.written[:19], (version.retired or "")[:19], *names, span(content.window))
        )
    give({"versions": [state_row(version) for version in versions]}, aligned(rows), as_json=as_json)


def log(
    base: Base,
    limit: Annotated[int, typer.Option(parser=whole(1, MOST_SHOWN), metavar="N", help="Most calls shown.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the calls that wrote, the newest first.

    Example: kblampp log my.kb --limit 5
    """
    with KnowledgeBase.open(base, read_only=True) as opened:
        calls = opened.log(limit)
    rows = [("call", "at (UTC)", "what", "facts", "note", "")]
    for call in calls:
        undone = "" if call.undone_by is None else f"undone by call {call.undone_by}"
        rows.append((str(call.id), call.at[:19], call.what, str(call.facts), call.note, undone))
    give({"calls": [asdict(call) for call in calls]}, aligned(rows), as_json=as_json)


def verify(base: Base, as_json: Json = False) -> None:
    """Check that the base is whole.

    Its file, each fact, and that its history makes sense; the exit status is 1 if not.

    Example: kblampp verify my.kb
    """
    with KnowledgeBase.open(base, read_only=True) as opened:
        problems, count = opened.verify(), opened.count()
    good = [f"{base} is whole: {count} facts"]
    give({"facts": count, "problems": problems}, problems or good, as_json=as_json)
    if problems:
        raise StoreError(f"{base} is damaged in {len(problems)} places: take a copy that you have kept")


def export(
    base: Base,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table (.csv) or five-tuples (.jsonl).")],
    known_at: KnownAt = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write the facts to a file.

    `import` reads it, and so does the pipeline's dataset `custom`; its dataset `base` reads a base as it is.

    Example: kblampp export my.kb facts.csv
    """
    if file.exists() and not force:
        raise DataError(f"{file} is there already: name another file, or replace it with --force")
    if not file.absolute().parent.is_dir():
        raise DataError(f"{file.absolute().parent} is no folder: make it first")
    with KnowledgeBase.open(base, read_only=True) as opened:
        count = opened.export(file, known_at=moment(known_at))
    give({"facts": count, "file": str(file)}, [f"wrote {count} facts to {file}"], as_json=as_json)


def doctor() -> None:
    """Check this machine and the repository.

    Whether it makes the committed bytes, and how long the stages take here.

    Example: kblampp doctor
    """
    from kblampp.doctor import main

    status = main([])
    if status:
        raise typer.Exit(status)
