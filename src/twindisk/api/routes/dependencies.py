"""What every route gets: the running node."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from twindisk.node.context import Node


def _node(request: Request) -> Node:
    node = request.app.state.node
    if not isinstance(node, Node):
        raise TypeError("the app was made without a node")
    return node


RunningNode = Annotated[Node, Depends(_node)]
