"""SNMP notifications: their destinations, and a test."""

from __future__ import annotations

from fastapi import APIRouter

from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import TrapsView, TrapTestView, TrapView
from twindisk.errors import RefusedError, RefusedProblem

router = APIRouter(prefix="/traps", tags=["trap"])


@router.get("")
async def get_traps(node: RunningNode) -> TrapsView:
    """Return what is sent to whom."""
    traps = node.traps
    user = traps.settings.user
    return TrapsView(
        version=traps.settings.version.value,
        security=traps.settings.security,
        user=None if user is None else user.name,
        engine_id=None if user is None else "0x" + traps.engine_id.hex(),
        destinations=[
            TrapView(
                destination=str(delivery.destination),
                sent=delivery.sent,
                dropped=delivery.dropped,
                problem=None if delivery.problem is None else delivery.problem.value,
            )
            for delivery in traps.deliveries
        ],
    )


@router.post("/test")
async def test_traps(node: RunningNode) -> list[TrapTestView]:
    """Send a test notification to every destination and return what happened."""
    if not node.traps.deliveries:
        raise RefusedError(RefusedProblem.NO_TRAP_DESTINATION, node=node.config.node_name)
    node.log.info("SNMP test notification asked for")
    return [
        TrapTestView(
            destination=str(tested.destination),
            problem=None if tested.outcome.problem is None else tested.outcome.problem.value,
            detail=tested.outcome.detail,
        )
        for tested in await node.traps.test(f"Test notification from node {node.config.node_name}")
    ]
