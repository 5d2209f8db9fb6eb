"""The way to Milvus: a connection, and a sentence for whatever can go wrong on it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from kblampp.core.errors import StoreError, first_line

TIMEOUT = 10.0
"""Seconds that a call to the server may take."""

_PORT = 19_530


def connected(uri: str) -> Any:
    """A client of a server, or of a folder of this machine that milvus-lite serves on loopback.

    Args:
        uri: An address such as `http://10.0.0.5:19530`, or a folder that ends in `.db`.

    Raises:
        StoreError: The address is neither, pymilvus is not installed, or nothing answers.
    """
    local = uri.endswith(".db") and "://" not in uri
    if not local and urlsplit(uri).scheme not in ("http", "https"):
        raise StoreError(
            f"index.uri is {uri!r}, expected the address of a Milvus server such as http://127.0.0.1:19530, or a "
            "folder that ends in .db for milvus-lite"
        )
    try:
        from pymilvus import MilvusClient
    except ImportError:
        raise StoreError(
            "index.engine is milvus, which needs the package pymilvus: install it with "
            "`pip install pymilvus milvus-lite`, or set index.engine to faiss"
        ) from None
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback of what is said in a sentence here
    with in_a_sentence(uri, "connect"):
        if not local:  # pymilvus would go on trying for long where nobody listens
            parts = urlsplit(uri)
            socket.create_connection((parts.hostname or "", parts.port or _PORT), timeout=TIMEOUT).close()
        return MilvusClient(uri=uri, timeout=TIMEOUT)


@contextmanager
def in_a_sentence(uri: str, what: str) -> Iterator[None]:
    """Turn a failure of the server, or of the way to it, into a StoreError."""
    from grpc import RpcError
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except StoreError:
        raise
    except (RpcError, MilvusException, OSError, ValueError) as error:
        code = getattr(error, "code", None)
        reason = code().name if isinstance(error, RpcError) and callable(code) else first_line(error)
        raise StoreError(
            f"Milvus at {uri} did not {what} within {TIMEOUT:.0f} s or refused ({reason}); see that the server runs "
            "there and that index.uri names it, or set index.engine to faiss"
        ) from error
