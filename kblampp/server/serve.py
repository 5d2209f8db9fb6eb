"""The server as a program: one process, until it is told to stop."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from kblampp.core.errors import DataError
from kblampp.server.app import create_app
from kblampp.server.protocols import AskingModel, Base
from kblampp.server.settings import TOKEN, Settings

logger = logging.getLogger(__name__)
_CONNECTIONS = 1024
_BACKLOG = 512


def serve(
    base: Base, model: AskingModel[Any], settings: Settings, *, ready: Callable[[str], object] | None = None
) -> None:
    """Serves until SIGINT or SIGTERM; requests that have begun are answered first.

    Args:
        base: what is served.
        model: answers from it.
        settings: address, access, limits.
        ready: is told the address, such as "http://127.0.0.1:8000", when connections are taken.

    Raises:
        DataError: if the address is open to other machines without a token, is in use, or is none of this machine.
    """
    server, listener = prepare(base, model, settings)
    address = address_of(listener)
    logger.info("serving %s at %s", base.name, address)
    if ready is not None:
        ready(address)
    with _stopped_by_signals(server):
        server.run(sockets=[listener])


def prepare(base: Base, model: AskingModel[Any], settings: Settings) -> tuple[uvicorn.Server, socket.socket]:
    """A server that does not run yet, and the socket on which it listens; raises as `serve`."""
    check_access(settings)
    listener = _listen(settings)
    config = uvicorn.Config(
        create_app(base, model, settings),
        log_config=None,
        access_log=False,  # the app's own log has no address as it was sent, which may hold what was searched for
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=max(1, round(settings.timeout_s)),
    )
    return uvicorn.Server(config), listener


def check_access(settings: Settings) -> None:
    """Refuses to be open to everybody.

    Raises:
        DataError: Other machines reach the address, and no token is asked for.
    """
    if not settings.loopback and settings.token is None:
        raise DataError(
            f"the address {settings.host} can be reached from other machines: set a token in the environment variable "
            f"{TOKEN}, or serve at 127.0.0.1"
        )


def address_of(listener: socket.socket) -> str:
    """The address as a browser takes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(settings: Settings) -> socket.socket:
    host = settings.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise DataError(f"{settings.host!r} is no address of this machine ({error}): serve at 127.0.0.1") from None
    try:
        if os.name == "posix":  # elsewhere the option lets two programs listen at one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # now, so that two servers cannot both believe that they have the port
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            problem, remedy = (
                f"port {settings.port} of {settings.host} is in use",
                "stop its program or choose another port",
            )
        elif error.errno == errno.EACCES:
            problem, remedy = f"port {settings.port} needs more rights", "choose one from 1024 on"
        else:
            problem, remedy = f"{settings.host} is no address of this machine ({error.strerror})", "serve at 127.0.0.1"
        raise DataError(f"{problem}: {remedy}") from None
    return listener


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """A signal stops the server and is done with then: uvicorn would raise it once more, which ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
