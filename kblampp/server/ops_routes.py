"""Health, metrics and the page, whose files are read once, at the start."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from kblampp.server.outputs import HealthOut, problems_doc
from kblampp.server.problems import NotThere
from kblampp.server.state import State

INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


def read_page() -> dict[str, tuple[bytes, str]]:
    """The files of the page by name, with their media types; others than these are not served."""
    files = {}
    for file in importlib.resources.files("kblampp.server").joinpath("page").iterdir():
        _, dot, suffix = file.name.rpartition(".")
        if file.is_file() and dot + suffix in _TYPES:
            files[file.name] = (file.read_bytes(), _TYPES[dot + suffix])
    return files


def open_paths(page: Mapping[str, object]) -> frozenset[str]:
    """What is served to those who do not show the token: health and the page, which asks for it."""
    return frozenset(("/", "/health", *(f"/page/{name}" for name in page)))


def ops_router(state: State, page: Mapping[str, tuple[bytes, str]]) -> APIRouter:
    """The routes of those who run a server, and the page."""
    router = APIRouter(tags=["running"])

    @router.get("/health", summary="What is served", responses={200: {"model": HealthOut}, **problems_doc(403, 503)})
    async def health() -> JSONResponse:
        def look() -> dict[str, object]:
            base = state.base
            return {
                "status": "ok",
                "base": base.name,
                "facts": base.count(),
                "version": base.version,
                "model": state.model.name,
                "writable": state.settings.writable,
            }

        return JSONResponse(await run_in_threadpool(look))

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems_doc(401, 403, 503)},
    )
    async def metrics() -> Response:
        text = await run_in_threadpool(state.metrics.text, state.base, state.batcher.waiting)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.get("/", include_in_schema=False)
    async def index() -> Response:
        return _file(page, INDEX)

    @router.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return _file(page, name)

    return router


def _file(page: Mapping[str, tuple[bytes, str]], name: str) -> Response:
    if name not in page:
        raise NotThere("the page has no such file: open it at /")
    content, kind = page[name]
    return Response(content, headers={"Content-Type": kind, "Cache-Control": "no-cache"})
