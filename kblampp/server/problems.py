"""What a server refuses, and how an error becomes a response: one sentence, in OpenAI's shape below /v1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from kblampp.core.errors import DataError, KBLaMError, StoreError
from kblampp.server.bodies import FORMS

OPENAI_PREFIX = "/v1/"
DEFECT = "the server made a mistake of its own: its log says which; please report it"
_STATUSES = {
    400: "the request cannot be read as JSON: send a UTF-8 JSON object",
    404: "there is nothing at this address: see /openapi.json for what there is",
    405: "this address does not take this method: see /openapi.json for those that it takes",
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 503: "overloaded", 504: "timeout"}
_SHOWN = 200
"""Most characters of a client's own text in a sentence."""


class ServerProblem(KBLaMError):
    """A request that is refused.

    Attributes:
        status: HTTP status.
        code: OpenAI's name of the problem, None if it has none.
        param: field of the request at fault, None if none is.
        headers: further headers of the response.
    """

    status = 400

    def __init__(
        self,
        sentence: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.code, self.param, self.headers = code, param, dict(headers or {})


class BadRequest(ServerProblem):
    """A request in a form that is not understood."""


class Unauthorized(ServerProblem):
    """The token is missing or wrong."""

    status = 401


class Forbidden(ServerProblem):
    """What is asked for is not allowed here."""

    status = 403


class NotThere(ServerProblem):
    """What is named does not exist."""

    status = 404


class Conflict(ServerProblem):
    """The base is not in a state for it."""

    status = 409


class TooLarge(ServerProblem):
    """The request holds too many bytes."""

    status = 413


class WrongType(ServerProblem):
    """The body is not sent as JSON."""

    status = 415


class Invalid(ServerProblem):
    """A field does not have the form it must have."""

    status = 422


class Busy(ServerProblem):
    """There is no room, or the server stops."""

    status = 503

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, headers={"Retry-After": "1"})


class TimedOut(ServerProblem):
    """It took too long."""

    status = 504


class Gone(ServerProblem):
    """The client did not wait for the response, which nobody reads."""

    status = 499


def error_response(path: str, error: Exception) -> Response:
    """The response to an exception that means a refusal, or to a defect (500, without its words)."""
    status, sentence = 500, DEFECT
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] | None = None
    if isinstance(error, ServerProblem):
        status, sentence, code, param, headers = error.status, str(error), error.code, error.param, error.headers
    elif isinstance(error, RequestValidationError):
        status, sentence, param = _invalid(error.errors())
    elif isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
        sentence = _STATUSES.get(status, str(error.detail))
    elif isinstance(error, StoreError):
        status, sentence = 503, str(error)
    elif isinstance(error, DataError):
        status, sentence = 422, str(error)
    elif isinstance(error, KBLaMError):
        status, sentence = 503, str(error)
    sentence = printable(" ".join(sentence.split()))
    if not path.startswith(OPENAI_PREFIX):
        return JSONResponse({"error": sentence}, status, headers)
    if status == 422:  # as OpenAI says it
        status = 400
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    about = {"message": sentence, "type": kind, "param": param, "code": code or _OPENAI_CODES.get(status)}
    return JSONResponse({"error": about}, status, headers)


def install(app: FastAPI) -> None:
    """Makes an app answer refusals with `error_response`."""

    async def handle(request: Request, error: Exception) -> Response:
        return error_response(request.url.path, error)

    for kind in (KBLaMError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def printable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shown(value: object) -> str:
    """A client's own value, as it is quoted in a sentence."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def finding_of(errors: Sequence[Mapping[str, Any]]) -> str:
    """What pydantic found wrong with arguments that are no request, in one sentence."""
    field = ".".join(str(name) for name in errors[0]["loc"])
    sentence = _finding(errors[0])
    return printable(f"{field[:_SHOWN]}: {sentence}" if field else sentence)


def _invalid(errors: Sequence[Mapping[str, Any]]) -> tuple[int, str, str | None]:
    """Status, sentence and field of what pydantic found; the first finding stands for all."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return 400, f"the request is not JSON ({first['ctx']['error']}, character {first['loc'][-1]}): send JSON", None
    part, *names = (str(name) for name in first["loc"] if name not in FORMS)
    field = ".".join(names)[:_SHOWN]
    sentence = _finding(first)
    where = f"{'field' if part == 'body' else part + ' parameter'} {field!r}: " if field else f"the {part}: "
    others = [".".join(str(name) for name in each["loc"][1:] if name not in FORMS)[:_SHOWN] for each in errors[1:4]]
    named = ", ".join(repr(name) for name in dict.fromkeys(filter(None, others)))
    more = f" (and {len(errors) - 1} more{named and f': {named}'})" if len(errors) > 1 else ""
    return 422, f"{where}{sentence}{more}", field or None


def _finding(error: Mapping[str, Any]) -> str:
    kind, value = error["type"], error.get("input")
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "missing":
        return "it is missing"
    if kind == "extra_forbidden":
        return "there is no such field: see /openapi.json for those that there are"
    if kind == "string_unicode":
        return "the text is not well-formed Unicode: half of a surrogate pair stands alone"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "expected a JSON object"
    said = str(error["msg"]).replace("Input should be", "expected")
    found = "" if isinstance(value, dict | list) else f", found {shown(value)}"
    return f"{said[:1].lower()}{said[1:]}{found}"
