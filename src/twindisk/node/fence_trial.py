"""Try fence commands before they are needed: ask the agents for the power state, or fence for real.

Rules:

* Both run here, in the daemon, with the environment, rights and time limit of a real fence.
* Asking never fences: a command that cannot be asked for certain (:func:`status_command`) is not run.
* An agent that calls a connected peer ``off`` asks about another machine. It would report success and fence the wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from twindisk.brain.model import Link, PeerAddress
from twindisk.errors import NotFoundError, NotFoundProblem
from twindisk.node.context import Node
from twindisk.node.fence import FenceAttempt, run_fence
from twindisk.node.fence_text import output_without_secrets, status_command, without_secrets
from twindisk.node.names import check_address
from twindisk.node.records import Check, CheckKind

_STATUS_OFF: Final = 2
"""Exit status of a fence agent's ``status``: 0 on, 2 off, any other an error."""


@unique
class Outcome(StrEnum):
    """What came of a trial."""

    ON = "on"
    OFF = "off"
    WRONG = "wrong"
    """Says ``off`` of a peer that is connected."""
    FENCED = "fenced"
    FAILED = "failed"
    NOT_ASKED = "not asked"
    """The command is no fence agent that could be asked without fencing."""
    REACHED = "reached"
    """The witness is there, is the one that was configured, and refuses a second write."""


@dataclass(frozen=True, slots=True)
class FenceTrial:
    """How one command, or witness, did. ``attempt`` None: it was not run. No text shows a password."""

    peer: str
    command: str
    outcome: Outcome
    attempt: FenceAttempt | None
    kind: CheckKind = CheckKind.FENCE


async def ask(node: Node, check: Check) -> FenceTrial:
    """Ask a fence command's agent for the power state."""
    question = status_command(check.command)
    if question is None:
        return FenceTrial(check.peer, without_secrets(check.command), Outcome.NOT_ASKED, None)
    (attempt,) = await _run(node, check.peer, [question])
    return _trial(check.peer, attempt, _power_state(node, check.peer, attempt))


async def fence(node: Node, peer: str) -> list[FenceTrial]:
    """Fence a peer as if it were lost: in turn until one succeeds. Raises NotFoundError(CHECK) without any command."""
    checks = _fence_checks(node, peer)
    address = checks[0].peer
    node.log.warning("fencing the peer because an operator wants to", peer=address)
    attempts = await _run(node, address, [check.command for check in checks])
    return [_trial(address, attempt, Outcome.FENCED if attempt.succeeded else Outcome.FAILED) for attempt in attempts]


def _fence_checks(node: Node, peer: str) -> list[Check]:
    address = check_address(peer)
    found = [check for check in node.state.checks(address) if check.kind is CheckKind.FENCE]
    if not found:
        raise NotFoundError(NotFoundProblem.FENCE_CHECK, name=address, node=node.config.node_name)
    return found


def _power_state(node: Node, address: str, attempt: FenceAttempt) -> Outcome:
    if attempt.exit_status == 0:
        return Outcome.ON
    if attempt.exit_status != _STATUS_OFF:
        return Outcome.FAILED
    peer = node.brain.peers.get(PeerAddress(address))
    return Outcome.WRONG if peer is not None and peer.link is Link.UP else Outcome.OFF


async def _run(node: Node, peer: str, commands: Sequence[str]) -> list[FenceAttempt]:
    attempts: list[FenceAttempt] = []
    await run_fence(peer, commands, node.config.fence.limit_ms / 1000, attempts.append)
    for attempt in attempts:
        node.log.info(
            "fence command tried",
            peer=peer,
            command=without_secrets(attempt.command),
            exit_status=attempt.exit_status,
            timed_out=attempt.timed_out,
            output=output_without_secrets(attempt.output, attempt.command) or None,
        )
    return attempts


def _trial(peer: str, attempt: FenceAttempt, outcome: Outcome) -> FenceTrial:
    shown = FenceAttempt(
        command=without_secrets(attempt.command),
        exit_status=attempt.exit_status,
        timed_out=attempt.timed_out,
        output=output_without_secrets(attempt.output, attempt.command),
        seconds=attempt.seconds,
    )
    return FenceTrial(peer, shown.command, outcome, shown)
