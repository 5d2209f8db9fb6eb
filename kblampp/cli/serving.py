"""The commands that keep a base at hand for programs and browsers: `serve` and `mcp`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from kblampp.asking.quiet import quiet
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.cli.output import Base, Model, say, whole
from kblampp.server.settings import TOKEN

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Refuse everything that would change the base.")]


def serve(
    base: Base,
    host: Annotated[str, typer.Option(help=f"Address; all but loopback need a token in {TOKEN}.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(parser=whole(0, 65535), metavar="PORT", help="Port; 0 for any free one.")] = 8000,
    read_only: ReadOnly = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name that browsers may reach it by.")
    ] = None,
    model: Model = None,
) -> None:
    """Serve the base to browsers and programs.

    A page for people, JSON for programs, and OpenAI's dialect for chat clients.

    Example: kblampp serve my.kb
    """
    opened = KnowledgeBase.open(base, read_only=read_only)
    quiet()
    from kblampp.asking.kb_model import KBModel
    from kblampp.server.serve import check_access, serve
    from kblampp.server.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        token=os.environ.get(TOKEN) or None,
        writable=not read_only,
        allowed_hosts=tuple(allow_host or ()),
    )
    check_access(settings)  # before the seconds that a model takes
    say(f"opening the model for {base} ({opened.count()} facts)")
    reader = KBModel.open(model)
    serve(opened, reader, settings, ready=lambda address: say(f"serving {base} at {address}; Ctrl+C stops it"))


def mcp(base: Base, read_only: ReadOnly = False, model: Model = None) -> None:
    """Serve the base to an assistant (MCP).

    By the Model Context Protocol, on standard input and output.

    Example: kblampp mcp my.kb
    """
    opened = KnowledgeBase.open(base, read_only=read_only)
    quiet()
    from kblampp.asking.kb_model import KBModel
    from kblampp.server.mcp_server import run_mcp

    run_mcp(opened, KBModel.open(model), writable=not read_only)
