"""Facts: found, added, changed, ended, deleted; their history, the log of calls, and undoing them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from kblampp.server import operations
from kblampp.server.bodies import MAX_ID, AddBody, ChangeBody, EndBody, FactsBody, LogQuery, SearchQuery, UndoBody
from kblampp.server.outputs import AddedOut, CallOut, ChangedOut, FactOut, FactsOut, HistoryOut, LogOut, problems_doc
from kblampp.server.state import State

FactId = Annotated[int, Path(ge=1, le=MAX_ID, description="id of the fact", examples=[3])]


def fact_router(state: State) -> APIRouter:
    """The routes of facts and calls."""
    router = APIRouter(tags=["facts"])
    refusals = problems_doc(401, 403)
    write_refusals = problems_doc(400, 401, 403, 404, 409, 413, 503, 504)

    @router.get("/facts", summary="Find facts", responses={200: {"model": FactsOut}, **refusals})
    async def facts(query: Annotated[SearchQuery, Query()]) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(operations.search_facts, state.base, query))

    @router.post(
        "/facts",
        summary="Add a fact, or several in one call",
        status_code=201,
        responses={
            201: {"model": AddedOut},
            200: {"model": AddedOut, "description": "all of them were there already; nothing was written"},
            **write_refusals,
        },
    )
    async def add(body: AddBody) -> JSONResponse:
        state.require_writable()
        rows = [fact.model_dump() for fact in (body.facts if isinstance(body, FactsBody) else [body])]
        added = await state.writer.run(operations.add_facts, state.base, rows)
        return JSONResponse(added, 200 if added["call"] is None else 201)

    @router.get(
        "/facts/{fact}",
        summary="A fact as it is now",
        responses={200: {"model": FactOut}, **problems_doc(401, 403, 404)},
    )
    async def one(fact: FactId) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(operations.fact_of_base, state.base, fact))

    @router.put(
        "/facts/{fact}", summary="Change fields of a fact", responses={200: {"model": ChangedOut}, **write_refusals}
    )
    async def change(fact: FactId, body: ChangeBody) -> JSONResponse:
        state.require_writable()
        return JSONResponse(await state.writer.run(operations.change_fact, state.base, fact, body.given()))

    @router.post(
        "/facts/{fact}/end",
        summary="Say when a fact held for the last time",
        responses={200: {"model": ChangedOut}, **write_refusals},
    )
    async def end(fact: FactId, body: EndBody) -> JSONResponse:
        state.require_writable()
        return JSONResponse(await state.writer.run(operations.end_fact, state.base, fact, body.end))

    @router.delete("/facts/{fact}", summary="Delete a fact", responses={200: {"model": CallOut}, **write_refusals})
    async def delete(fact: FactId) -> JSONResponse:
        state.require_writable()
        return JSONResponse(await state.writer.run(operations.delete_fact, state.base, fact))

    @router.get(
        "/facts/{fact}/history",
        summary="All states of a fact, oldest first",
        responses={200: {"model": HistoryOut}, **problems_doc(401, 403, 404)},
    )
    async def history(fact: FactId) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(operations.history, state.base, fact))

    @router.get("/log", summary="Calls, newest first", responses={200: {"model": LogOut}, **refusals})
    async def log(query: Annotated[LogQuery, Query()]) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(operations.log, state.base, query.limit))

    @router.post("/undo", summary="Undo a call", responses={200: {"model": CallOut}, **write_refusals})
    async def undo(body: UndoBody) -> JSONResponse:
        state.require_writable()
        return JSONResponse(await state.writer.run(operations.undo, state.base, body.call))

    return router
