"""The server as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from kblampp.server.ask_routes import ask_router
from kblampp.server.batching import Batcher
from kblampp.server.fact_routes import fact_router
from kblampp.server.metrics import Measured, Metrics
from kblampp.server.openai_routes import openai_router
from kblampp.server.ops_routes import open_paths, ops_router, read_page
from kblampp.server.problems import install
from kblampp.server.protocols import AskingModel, Base
from kblampp.server.security import Defects, Guard, SecurityHeaders
from kblampp.server.settings import Settings
from kblampp.server.state import State, Writer

_DESCRIPTION = """Ask a knowledge base of timed facts, and change it.

Every refusal is `{"error": "one sentence"}`; below `/v1` it has the shape of OpenAI's. Where the server asks for its
token, it is sent as `Authorization: Bearer …`."""


def create_app(base: Base, model: AskingModel[Any], settings: Settings) -> FastAPI:
    """Makes the application; the model is asked from one thread of its own, which ends with the application."""
    metrics = Metrics()
    batcher = Batcher(
        base,
        model,
        batch_size=settings.batch_size,
        max_queue=settings.max_queue,
        timeout_s=settings.timeout_s,
        on_batch=metrics.batches.observe,
    )
    writer = Writer(max_queue=settings.max_queue, timeout_s=settings.timeout_s)
    state = State(base, model, settings, batcher, writer, metrics)
    page = read_page()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        try:
            yield
        finally:
            batcher.close()

    app = FastAPI(
        title="KBLaM++",
        summary="A knowledge base of timed facts that a language model answers from",
        description=_DESCRIPTION,
        version="1",
        docs_url=None,  # both would load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    install(app)
    for router in (ask_router(state), fact_router(state), openai_router(state), ops_router(state, page)):
        app.include_router(router)
    app.add_middleware(Guard, settings=settings, open_paths=open_paths(page))  # the last one added is the outermost
    app.add_middleware(Defects)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured, metrics=metrics)
    app.state.batcher = batcher
    return app
