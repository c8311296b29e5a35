"""Try mirror checks before they are needed, without harm: fence agents are asked for the power state, witnesses are written to.

A witness is tried with a key of its own, which is removed; no claim is made, and none is looked at.
"""

from __future__ import annotations

import asyncio

from twindisk.errors import NotFoundError, NotFoundProblem, TwindiskError
from twindisk.node import fence_trial
from twindisk.node.context import Node
from twindisk.node.fence import FenceAttempt
from twindisk.node.fence_trial import FenceTrial, Outcome
from twindisk.node.names import check_address
from twindisk.node.records import Check, CheckKind
from twindisk.sentences import tell
from twindisk.witness import use


async def ask(node: Node, peer: str | None) -> list[FenceTrial]:
    """Try every check that can be tried (of all peers: None). Raises NotFoundError(TRIED_CHECK) without any."""
    address = None if peer is None else check_address(peer)
    checks = [check for check in node.state.checks(address) if check.kind in (CheckKind.FENCE, CheckKind.WITNESS)]
    if not checks:
        raise NotFoundError(NotFoundProblem.TRIED_CHECK, name=address or "any peer", node=node.config.node_name)
    return [await _ask(node, check) for check in checks]


async def _ask(node: Node, check: Check) -> FenceTrial:
    if check.kind is CheckKind.FENCE:
        return await fence_trial.ask(node, check)
    begun = asyncio.get_running_loop().time()
    try:
        name = await use.try_witness(check.command, node.config.etc, node.config.fence.witness_limit_ms / 1000)
    except TwindiskError as error:
        outcome, told = Outcome.FAILED, tell(error).detail
    else:
        same = name == check.witness
        outcome = Outcome.REACHED if same else Outcome.WRONG
        told = "" if same else "This is another witness than the one that was configured."
        if same and use.sends_password_openly(check.command, node.config.etc):
            told = "Its password is sent in clear text: whoever listens can claim. Use etcds://."
    seconds = asyncio.get_running_loop().time() - begun
    node.log.info("witness tried", peer=check.peer, witness=check.command, outcome=outcome.value, told=told or None)
    attempt = FenceAttempt(check.command, exit_status=None, timed_out=False, output=told, seconds=seconds)
    return FenceTrial(check.peer, check.command, outcome, attempt, CheckKind.WITNESS)
