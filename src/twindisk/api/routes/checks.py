"""Mirror checks."""

from __future__ import annotations

from fastapi import APIRouter, status

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import CheckNew, CheckTrialNew, CheckTrialView, CheckType, CheckView
from twindisk.node import check_trial, checks, fence_trial
from twindisk.node.records import CheckKind

router = APIRouter(prefix="/checks", tags=["check"])


@router.get("")
async def list_checks(node: RunningNode) -> list[CheckView]:
    """Return all checks in the order in which they are tried."""
    return [views.check_view(node, check) for check in node.state.checks()]


@router.post("", status_code=status.HTTP_201_CREATED)
async def add_check(node: RunningNode, new: CheckNew) -> CheckView:
    """Add a check behind the peer's others."""
    return views.check_view(node, await checks.add(node, new.peer, CheckKind(new.type), new.value))


@router.post("/trial")
async def try_checks(node: RunningNode, trial: CheckTrialNew) -> list[CheckTrialView]:
    """Ask the agents of fence commands for the power state and try witnesses, or fence a peer for real."""
    if trial.action == "status" or trial.peer is None:
        tried = await check_trial.ask(node, trial.peer)
    else:
        tried = await fence_trial.fence(node, trial.peer)
    return [views.trial_view(one) for one in tried]


@router.delete("")
async def remove_checks(
    node: RunningNode,
    peer: str | None = None,
    type: CheckType | None = None,  # noqa: A002 - the operators' word
    value: str | None = None,
) -> list[CheckView]:
    """Remove every check that matches; what is not given matches any. Returns the removed ones."""
    async with node.change():
        kind = None if type is None else CheckKind(type)
        return [views.check_view(node, check) for check in await checks.remove(node, peer, kind, value)]
