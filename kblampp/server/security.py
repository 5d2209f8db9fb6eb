"""What stands before the routes: who may call, from where, with how many bytes; and headers that bind a browser."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Container
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kblampp.server.problems import Forbidden, ServerProblem, TooLarge, Unauthorized, WrongType, error_response
from kblampp.server.settings import Settings

logger = logging.getLogger(__name__)
_READING = ("GET", "HEAD", "OPTIONS")
_WITH_BODY = ("POST", "PUT", "PATCH")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_DRAINED = 16
"""Of a body beyond the limit, so many times the limit is still taken, so that a client that sends first reads why."""


class SecurityHeaders:
    """Adds to every response the headers that keep a browser from using it otherwise than meant."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the app."""

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, sealed if scope["type"] == "http" else send)


class Defects:
    """Answers an unexpected exception with 500 and one sentence, and logs what it was."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the app."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            logger.exception("a defect, while answering %s", scope["method"])
            await error_response(scope["path"], error)(scope, receive, send)


class Guard:
    """Lets in what may come in: host, origin, token, form and size of a request."""

    def __init__(self, app: ASGIApp, settings: Settings, open_paths: Container[str]) -> None:
        """Wraps an app.

        Args:
            app: what is guarded.
            settings: token, hosts and limits.
            open_paths: paths that ask for no token.
        """
        self._app, self._settings, self._open_paths = app, settings, open_paths
        self._hosts = settings.host_names
        self._token = None if settings.token is None else settings.token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the app, or refuses."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_origin(scope["method"], headers)
            self._check_token(scope["path"], headers)
            _check_form(scope["method"], headers)
            if _length(headers) > self._settings.max_body:
                raise self._too_large()
        except ServerProblem as problem:
            await self._drain(headers, receive)
            await error_response(scope["path"], problem)(scope, receive, send)
            return
        await self._app(scope, self._limited(receive), send)

    def _check_host(self, headers: Headers) -> None:
        """A page of another site whose name was made to mean this machine says so in the header Host."""
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if host not in self._hosts and _without_port(host) not in self._hosts:
            raise Forbidden(
                "the server does not go by this name: call it by its address, or start it with this host allowed"
            )

    def _check_origin(self, method: str, headers: Headers) -> None:
        """A browser says which site's page sends a request; only the server's own may send one that does something."""
        if method in _READING:
            return
        origin, own = headers.get("origin"), headers["host"].lower()
        site = headers.get("sec-fetch-site", "none").lower()
        if (origin is not None and _authority(origin) != own) or site in ("cross-site", "same-site"):
            raise Forbidden("a page of another site sent this request: only the server's own page may")

    def _check_token(self, path: str, headers: Headers) -> None:
        if self._token is None or path in self._open_paths:
            return
        kind, _, shown = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(shown.strip().encode("latin-1", "replace"), self._token)
        if kind.lower() != "bearer" or not right:
            raise Unauthorized(
                "the server asks for its token: send it in the header Authorization, as Bearer and the token",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _too_large(self) -> TooLarge:
        limit = self._settings.max_body
        return TooLarge(f"the request is longer than {limit} bytes: send less at once", headers={"Connection": "close"})

    def _limited(self, receive: Receive) -> Receive:
        """`receive`, which stops at too many bytes and at a body that does not come to its end in time."""
        got, ended = 0, False
        deadline = time.monotonic() + self._settings.timeout_s

        async def limited() -> Message:
            nonlocal got, ended
            if ended:
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the request did not come to its end in time: send it again") from None
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            got += len(message.get("body", b""))
            if got > self._settings.max_body:
                await self._drain(None, receive, ended=ended)
                problem = self._too_large()
                raise HTTPException(problem.status, str(problem), problem.headers)  # any other, FastAPI takes for 400
            return message

        return limited

    async def _drain(self, headers: Headers | None, receive: Receive, *, ended: bool = False) -> None:
        """Reads on for a while what is refused."""
        limit = _DRAINED * self._settings.max_body
        if headers is not None and "transfer-encoding" not in headers:
            length = _length(headers)
            ended = not 0 < length <= limit
        got = 0
        try:
            async with asyncio.timeout(min(5.0, self._settings.timeout_s)):
                while not ended and got <= limit:
                    message = await receive()
                    ended = message["type"] != "http.request" or not message.get("more_body", False)
                    got += len(message.get("body", b""))
        except TimeoutError:
            return


def _check_form(method: str, headers: Headers) -> None:
    """JSON alone: a form, which a browser sends to other sites without asking, is none."""
    if method not in _WITH_BODY and not _length(headers) and "transfer-encoding" not in headers:
        return
    kind, *parameters = (part.strip().lower() for part in headers.get("content-type", "").split(";"))
    if kind != "application/json" or any(part not in ("", "charset=utf-8", 'charset="utf-8"') for part in parameters):
        raise WrongType("the request is not marked as JSON: send the header Content-Type: application/json")


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0 if not text else 1 << 62


def _without_port(host: str) -> str:
    name, mark, port = host.rpartition(":")
    return name if mark and port.isascii() and port.isdecimal() and len(port) <= 5 else host


def _authority(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None
