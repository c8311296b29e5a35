"""Who may hold discovery sessions with this node: CHAP users apart from those of VDisks.

Rules:

* This is the node's own: the other node is told its users by itself. What a discovery shows is each VDisk's affair.
* It is set before the first portal opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twindisk.node.admission import check_apart
from twindisk.node.context import Node
from twindisk.node.records import Admission

_KEY = "discovery"


def admission(node: Node) -> Admission:
    """Return who may hold discovery sessions."""
    kept = node.state.node_value(_KEY)
    return Admission() if kept is None else Admission.from_json(kept)


async def change(node: Node, edit: Callable[[Admission], Admission]) -> Admission:
    """Change it durably, then in the engine. Raises what ``edit`` does, InvalidError(CHAP_REUSED), EngineError."""
    before = admission(node)
    changed = edit(before)
    check_apart(before, changed, (vdisk.admission for vdisk in node.state.vdisks()))
    if changed != before:
        node.state.set_node_value(_KEY, None if changed == Admission() else changed.to_json())
        await apply(node)
        node.log.info("discovery users changed", users=[user.name for user in changed.users])
    return changed


async def apply(node: Node) -> None:
    """Tell the engine. Raises EngineError."""
    await asyncio.to_thread(node.engine.set_discovery, admission=admission(node).for_engine())
