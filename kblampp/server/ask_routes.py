"""Questions in the server's own JSON."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from kblampp.server.bodies import AskBody
from kblampp.server.outputs import RepliesOut, ReplyOut, problems_doc
from kblampp.server.state import State


def ask_router(state: State) -> APIRouter:
    """The route /ask."""
    router = APIRouter(tags=["questions"])

    @router.post(
        "/ask",
        summary="Ask one question, or several",
        response_description="a reply, or replies in the order of the questions",
        responses={200: {"model": ReplyOut | RepliesOut}, **problems_doc(400, 401, 403, 413, 503, 504)},
    )
    async def ask(request: Request, body: AskBody) -> JSONResponse:
        if body.questions is None:
            (answer,) = await state.ask(request, [body.question or ""], body)
            return JSONResponse(answer.reply.to_json())
        answers = await state.ask(request, body.questions, body)
        return JSONResponse({"replies": [answer.reply.to_json() for answer in answers]})

    return router
