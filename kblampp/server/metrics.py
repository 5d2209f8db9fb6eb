"""What Prometheus reads, and the log of requests: by template of the address, so neither holds a word of a question."""

from __future__ import annotations

import logging
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kblampp.server.protocols import Base

access_log = logging.getLogger("kblampp.server.access")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "kblampp_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "kblampp_request_seconds",
            "Seconds from request to response.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "kblampp_batch_questions", "Questions that the model got at once.", buckets=_SIZES, registry=self.registry
        )
        self.questions = Counter("kblampp_questions", "Questions answered.", registry=self.registry)
        self.refusals = Counter("kblampp_refusals", "Questions that the base does not answer.", registry=self.registry)
        self.queue = Gauge("kblampp_queue_questions", "Questions that wait.", registry=self.registry)
        self.facts = Gauge("kblampp_facts", "Facts that the base says now.", registry=self.registry)
        self.version = Gauge("kblampp_base_version", "Number of the base's last call.", registry=self.registry)

    def text(self, base: Base, waiting: int) -> bytes:
        """What Prometheus scrapes; reads the base."""
        self.queue.set(waiting)
        self.facts.set(base.count())
        self.version.set(base.version)
        return generate_latest(self.registry)


class Measured:
    """Counts and logs each request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, start = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - start
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = _template(scope)
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            access_log.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)


def _template(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", "none"))
