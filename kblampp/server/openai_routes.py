"""OpenAI's dialect: models and chat completions, whole or streamed, so that programs written for it can ask a base."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from kblampp.server.batching import Answered
from kblampp.server.bodies import AskOptions
from kblampp.server.openai_bodies import ChatBody
from kblampp.server.problems import NotThere
from kblampp.server.state import State

REFUSAL = "unknown"
"""What a chat is told where the base does not say."""
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "an error as OpenAI words it",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["message", "type", "code", "param"],
                            "properties": {
                                "message": {"type": "string"},
                                "type": {"type": "string"},
                                "code": {"type": ["string", "null"]},
                                "param": {"type": ["string", "null"]},
                            },
                        }
                    },
                }
            }
        },
    }
    for status in (400, 401, 403, 404, 413, 415, 503, 504)
}


def openai_router(state: State) -> APIRouter:
    """The routes below /v1."""
    router = APIRouter(prefix="/v1", tags=["OpenAI's dialect"])
    created = int(time.time())

    def model_json() -> dict[str, Any]:
        return {"id": state.model.name, "object": "model", "created": created, "owned_by": "kblampp"}

    def check_model(name: str) -> None:
        if name != state.model.name:
            raise NotThere(
                f"this server has no model {name[:200]!r}: its model is {state.model.name!r}",
                code="model_not_found",
                param="model",
            )

    @router.get("/models", summary="The model that is served", responses={401: _REFUSALS[401], 403: _REFUSALS[403]})
    async def models() -> JSONResponse:
        return JSONResponse({"object": "list", "data": [model_json()]})

    @router.get("/models/{name:path}", summary="A model by its name", responses=_REFUSALS)
    async def model(name: str) -> JSONResponse:
        check_model(name)
        return JSONResponse(model_json())

    @router.post(
        "/chat/completions",
        summary="Ask the last message of the user",
        response_class=Response,
        responses={
            200: {
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "text/event-stream": {"schema": {"type": "string"}},
                }
            },
            **_REFUSALS,
        },
    )
    async def complete(request: Request, body: ChatBody) -> Response:
        check_model(body.model)
        body.check()
        question = body.question()
        (answered,) = await state.ask(request, [question], body.kblampp or AskOptions(), counted=True)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": state.model.name}
        if body.stream:
            usage = body.stream_options is not None and bool(body.stream_options.include_usage)
            return StreamingResponse(_events(head, answered, with_usage=usage), media_type="text/event-stream")
        message = {"role": "assistant", "content": _content(answered), "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return JSONResponse(
            {
                **head,
                "object": "chat.completion",
                "choices": [choice],
                "usage": _usage(answered),
                "kblampp": answered.reply.to_json(),
            }
        )

    return router


def _content(answered: Answered) -> str:
    reply = answered.reply
    return REFUSAL if reply.refused and reply.text == reply.answer else reply.text


def _usage(answered: Answered) -> dict[str, int]:
    question, answer = answered.question_tokens, answered.answer_tokens
    return {"prompt_tokens": question, "completion_tokens": answer, "total_tokens": question + answer}


def _events(head: dict[str, Any], answered: Answered, *, with_usage: bool) -> Iterator[str]:
    """The server-sent events: who speaks, the answer word by word, its end with the evidence, the usage."""

    def event(choices: list[dict[str, Any]], **fields: Any) -> str:
        if with_usage:
            fields.setdefault("usage", None)
        chunk = {**head, "object": "chat.completion.chunk", "choices": choices, **fields}
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"

    def choice(delta: dict[str, str], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]

    yield event(choice({"role": "assistant", "content": ""}))
    for word in re.findall(r"\s*\S+\s*", _content(answered)) or [_content(answered)]:
        yield event(choice({"content": word}))
    yield event(choice({}, "stop"), kblampp=answered.reply.to_json())
    if with_usage:
        yield event([], usage=_usage(answered))
    yield "data: [DONE]\n\n"
