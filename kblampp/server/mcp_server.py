"""The base as tools of a language-model program, over the Model Context Protocol on standard input and output."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from kblampp.asking.asked import Asked
from kblampp.core.errors import KBLaMError, StoreError
from kblampp.data.windows import day
from kblampp.server import operations
from kblampp.server.batching import Batcher
from kblampp.server.bodies import AskBody, ChangeBody, EndBody, FactBody, FactIdBody, SearchQuery, UndoBody
from kblampp.server.problems import finding_of
from kblampp.server.protocols import AskingModel, Base
from kblampp.server.settings import Settings
from kblampp.server.state import Writer

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

Body = TypeVar("Body", bound=BaseModel)

INSTRUCTIONS = """A knowledge base of facts (head, relation, tail), each with the time for which it holds. `ask` answers
a question from it and names the facts that the answer rests on; if `refused` is true the base does not say. Dates are
written 1994, 1994-05 or 1994-05-02; an empty one is open or unknown, and an end counts as a whole."""


def run_mcp(base: Base, model: AskingModel[Any], *, writable: bool) -> None:
    """Serves tools on standard input and output until the input ends.

    Raises:
        StoreError: if the package mcp is not installed.
    """
    build_mcp(base, model, writable=writable).run("stdio")


def build_mcp(base: Base, model: AskingModel[Any], *, writable: bool) -> MCPServer[Any]:
    """A server with the tools ask, search_facts and history, and, if `writable`, those that change the base.

    Raises:
        StoreError: if the package mcp is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError:
        raise StoreError("the tool server needs the package mcp: install it with `pip install mcp`") from None
    server: MCPServer[Any] = MCPServer("kblampp", instructions=INSTRUCTIONS, log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    writes = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    tools = _Tools(base, model)
    reading: list[Callable[..., Any]] = [tools.ask, tools.search_facts, tools.history]
    writing: list[Callable[..., Any]] = [
        tools.add_fact,
        tools.change_fact,
        tools.end_fact,
        tools.delete_fact,
        tools.undo,
    ]
    for tool in reading:
        server.tool(annotations=reads)(tool)
    for tool in writing if writable else ():
        server.tool(annotations=writes)(tool)
    return server


class _Tools:
    """The tools; what is wrong is told in one sentence, which the program's model can read."""

    def __init__(self, base: Base, model: AskingModel[Any]) -> None:
        limits = Settings()
        self._base, self._limits = base, limits
        self._writer = Writer(max_queue=limits.max_queue, timeout_s=limits.timeout_s)
        self._batcher = Batcher(
            base, model, batch_size=limits.batch_size, max_queue=limits.max_queue, timeout_s=limits.timeout_s
        )

    async def ask(
        self,
        question: str,
        today: str | None = None,
        known_at: int | str | None = None,
        style: str | None = None,
    ) -> dict[str, Any]:
        """Ask the base a question in plain English.

        The reply has `answer`, `refused`, and `facts` with the facts that it rests on. `today` is the day on which it
        is asked ("2012-05-01"); `known_at` a call's number or a UTC time, to ask what the base said then. With the
        `style` "sentence" the reply also has a `sentence` around the answer.
        """

        async def work() -> dict[str, Any]:
            body = _checked(AskBody, question=question, today=today, known_at=known_at, style=style)
            text = body.question or ""
            if len(text) > self._limits.max_question:
                raise StoreError(
                    f"the question has {len(text)} characters: expected at most {self._limits.max_question}"
                )
            when = None if body.today is None else day(body.today)
            (answered,) = await self._batcher.ask([Asked(text, when, body.known_at, body.top, body.style)])
            return dict(answered.reply.to_json())

        return await _told(work)

    async def search_facts(
        self,
        search: str = "",
        held_on: str | None = None,
        known_at: int | str | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> dict[str, Any]:
        """Find facts by words that must all stand in them, and by a day on which they held ("2012-05-01")."""

        async def work() -> dict[str, Any]:
            body = _checked(SearchQuery, search=search, held_on=held_on, known_at=known_at, limit=limit, offset=offset)
            return await run_in_threadpool(operations.search_facts, self._base, body)

        return await _told(work)

    async def history(self, id: int) -> dict[str, Any]:
        """All states that a fact has had, oldest first."""

        async def work() -> dict[str, Any]:
            return await run_in_threadpool(operations.history, self._base, _checked(FactIdBody, id=id).id)

        return await _told(work)

    async def add_fact(
        self, head: str, relation: str, tail: str, context: str = "", start: str = "", end: str = ""
    ) -> dict[str, Any]:
        """Add a fact: of the head, the tail is the relation, as in Harrowgate Museum, director, Odile Brennan."""

        async def work() -> dict[str, Any]:
            body = _checked(FactBody, head=head, relation=relation, tail=tail, context=context, start=start, end=end)
            return await self._writer.run(operations.add_facts, self._base, [body.model_dump()])

        return await _told(work)

    async def change_fact(
        self,
        id: int,
        head: str | None = None,
        relation: str | None = None,
        tail: str | None = None,
        context: str | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> dict[str, Any]:
        """Change fields of a fact; those that are left out stay as they are."""

        async def work() -> dict[str, Any]:
            number = _checked(FactIdBody, id=id).id
            fields = {"head": head, "relation": relation, "tail": tail, "context": context, "start": start, "end": end}
            body = _checked(ChangeBody, **{name: value for name, value in fields.items() if value is not None})
            return await self._writer.run(operations.change_fact, self._base, number, body.given())

        return await _told(work)

    async def end_fact(self, id: int, end: str) -> dict[str, Any]:
        """Say when a fact held for the last time: a year, month or day, which counts as a whole."""

        async def work() -> dict[str, Any]:
            number = _checked(FactIdBody, id=id).id
            return await self._writer.run(operations.end_fact, self._base, number, _checked(EndBody, end=end).end)

        return await _told(work)

    async def delete_fact(self, id: int) -> dict[str, Any]:
        """Delete a fact that never was so; one that came to an end is ended instead."""

        async def work() -> dict[str, Any]:
            return await self._writer.run(operations.delete_fact, self._base, _checked(FactIdBody, id=id).id)

        return await _told(work)

    async def undo(self, call: int | None = None) -> dict[str, Any]:
        """Undo a call by its number, or the last one."""

        async def work() -> dict[str, Any]:
            return await self._writer.run(operations.undo, self._base, _checked(UndoBody, call=call).call)

        return await _told(work)


def _checked(kind: type[Body], **fields: Any) -> Body:
    return kind(**fields)


async def _told(work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """The result; an error of the package becomes one of the protocol, which shows its sentence."""
    from mcp.server.mcpserver.exceptions import ToolError

    try:
        return await work()
    except ValidationError as error:
        raise ToolError(finding_of(error.errors())) from None
    except KBLaMError as error:
        raise ToolError(str(error)) from None
