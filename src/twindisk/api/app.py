"""The two apps of a node: one for operators on its UNIX socket, one for its peer on the mirror address.

The socket's file mode decides who is an operator (its owner and root). The peer's app takes signed requests only.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from twindisk.api import problems, views
from twindisk.api.peer_auth import PeerAuth
from twindisk.api.peer_schemas import PEER_PREFIX
from twindisk.api.routes import access, checks, disks, events, mirrors, node, peer, pools, traps, vdisks
from twindisk.api.schemas import API_PREFIX
from twindisk.node.context import Node
from twindisk.node.log import Log


def operator_app(running: Node) -> FastAPI:
    """Return the API for operators."""
    app = _app("Twindisk", running, running.log)
    for noun in (access, node, events, pools, disks, vdisks, mirrors, checks, traps):
        app.include_router(noun.router, prefix=API_PREFIX)
    return app


def peer_app(running: Node, secret: bytes) -> ASGIApp:
    """Return the API for the peer, behind the signature."""
    app = _app("Twindisk, peer to peer", running, running.log)
    app.include_router(peer.router, prefix=PEER_PREFIX)
    return PeerAuth(app, secret=secret, log=running.log)


def _app(title: str, running: Node, log: Log) -> FastAPI:
    app = FastAPI(title=title, version=views.version(), docs_url=None, redoc_url=None)
    app.state.node = running
    problems.install(app, log)
    return app
