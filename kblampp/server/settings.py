"""What a server is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from kblampp.core.errors import DataError

TOKEN = "KBLAMPP_TOKEN"
"""The environment variable from which the command line takes the token."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Host headers that mean this machine, without their port."""


@dataclass(frozen=True)
class Settings:
    """Address, access and limits of a server.

    Attributes:
        host: address to listen on.
        port: its port; 0 takes a free one.
        token: what a client must show as a bearer token; None asks for none.
        writable: whether the base may be changed.
        max_body: most bytes of a request.
        max_question: most characters of a question.
        max_batch: most questions of one request.
        max_queue: most questions (and most writes) that wait.
        timeout_s: seconds until a request is given up.
        batch_size: most questions that the model answers at once.
        allowed_hosts: further names under which the server may be called, with or without a port.

    Raises:
        DataError: if one of them makes no sense.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    writable: bool = False
    max_body: int = 1 << 20
    max_question: int = 2000
    max_batch: int = 64
    max_queue: int = 256
    timeout_s: float = 60.0
    batch_size: int = 32
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise DataError(f"port is {self.port}: expected a number from 0 to 65535")
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise DataError(
                "the token is empty or holds other than ASCII letters, digits and signs: choose another one"
            )
        if self.token is not None and " " in self.token:
            raise DataError("the token holds a space: choose another one")
        for name in ("max_body", "max_question", "max_batch", "max_queue", "batch_size", "timeout_s"):
            if getattr(self, name) <= 0:
                raise DataError(f"{name} is {getattr(self, name)}: expected a number above 0")
        if self.max_queue < self.max_batch:
            raise DataError(
                f"max_queue is {self.max_queue}: expected at least max_batch, {self.max_batch}, "
                "or a request of that many questions could never wait"
            )

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine reach the address."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    @property
    def host_names(self) -> frozenset[str]:
        """Host headers that are let in, in lower case, without a port where any port will do."""
        own = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, own, *self.allowed_hosts))
