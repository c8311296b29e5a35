"""Verifications of mirrors: begun by an operator or by the calendar, told when they end.

Rules:

* The Master's node verifies: its engine compares both copies (docs/protocols/mirror.md), and its node tells of what differed.
* By the calendar one VDisk is verified at a time, and nothing is repaired: which copy is right is for people to say.
* What counts for the calendar is what this node has verified to the end. A verification that was cut short is begun anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from twindisk.brain.model import Role
from twindisk.brain.phases import Phase
from twindisk.brain.status import role_word, status_of
from twindisk.errors import (
    EngineError,
    EngineRefusedError,
    NotFoundError,
    NotFoundProblem,
    RefusedError,
    RefusedProblem,
)
from twindisk.node import mirrors
from twindisk.node.context import Node
from twindisk.node.engine_status import verify_of
from twindisk.verify_sentences import told

LOOK_S: Final = 60.0
DAY_MS: Final = 24 * 3600 * 1000

Source = Literal["master", "here", "peer"]
"""Whose copy counts where they differ."""


async def begin(node: Node, name: str, repair: Source | None) -> None:
    """Begin to compare a VDisk's copies; ``repair`` None: nothing is changed.

    Raises NotFoundError(VDISK, MIRROR), RefusedError(VERIFY_ON_SLAVE, VERIFY_NOT_IN_SYNC, VERIFY_RUNS), EngineError.
    """
    mirror, known = mirrors.find(node, name), node.brain_vdisk(name)
    here = {"vdisk": name, "node": node.config.node_name}
    if known is None or known.phase is not Phase.IN_SYNC:
        status = "Disabled" if known is None else status_of(node.brain, known).value
        raise RefusedError(RefusedProblem.VERIFY_NOT_IN_SYNC, status=status, **here)
    if known.role is not Role.MASTER:
        raise RefusedError(RefusedProblem.VERIFY_ON_SLAVE, role=role_word(known), peer=mirror.peer, **here)
    if verify_of(await asyncio.to_thread(node.engine.status), name).get("state") == "running":
        raise RefusedError(RefusedProblem.VERIFY_RUNS, **here)
    # This node is the Master.
    right = None if repair is None else "slave" if repair == "peer" else "master"
    await asyncio.to_thread(node.engine.verify, name, repair=right)
    node.log.info("verification begun", vdisk=name, peer=mirror.peer, repair=repair)


async def cancel(node: Node, name: str) -> None:
    """End a verification before its time. Raises NotFoundError(VDISK, MIRROR, VERIFICATION)."""
    mirrors.find(node, name)
    try:
        await asyncio.to_thread(node.engine.end_verify, name)
    except EngineRefusedError:
        raise NotFoundError(NotFoundProblem.VERIFICATION, name=name, node=node.config.node_name) from None


def ended(node: Node, report: Mapping[str, Any]) -> None:
    """Tell of a verification that ended, and remember when."""
    name = str(report["vdisk"])
    vdisk, mirror = node.state.vdisk(name), node.state.mirror(name)
    if vdisk is None:
        return
    peer = "" if mirror is None else mirror.peer
    right = "this node" if report["repair"] == "master" else f"peer {peer}"
    severity, kind, text = told(name, report, right)
    node.notices.tell(severity, kind, text, {"vdisk": name, "peer": peer})
    if report["state"] == "completed":
        node.state.set_verified(vdisk.serial, time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A VDisk that this node could verify now. ``last_ms``: when it was verified last, None: never here."""

    name: str
    last_ms: int | None


def due(candidates: Sequence[Candidate], every_days: int, now_ms: int) -> str | None:
    """Return the VDisk whose turn it is: the one verified longest ago, if that is long enough; 0 days: none ever."""
    late = [
        candidate
        for candidate in candidates
        # A last time in the future is a clock that was put back: no reason never to verify again.
        if candidate.last_ms is None or not 0 <= now_ms - candidate.last_ms < every_days * DAY_MS
    ]
    if every_days == 0 or not late:
        return None
    return min(late, key=lambda candidate: (candidate.last_ms or 0, candidate.name)).name


class VerifySchedule:
    """Begins the verifications that are due."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look(time.time_ns() // 1_000_000)
            except Exception:
                # The next look may be better, and nothing else depends on it.
                self._node.log.exception("no verification could be begun")

    async def look(self, now_ms: int) -> None:
        """Look once."""
        node = self._node
        if node.config.verify_days == 0:
            return
        status = await asyncio.to_thread(node.engine.status)
        names = [mirror.vdisk for mirror in node.state.mirrors()]
        if any(verify_of(status, name).get("state") == "running" for name in names):
            return
        name = due(
            [candidate for name in names if (candidate := self._candidate(name))], node.config.verify_days, now_ms
        )
        if name is None:
            return
        try:
            await begin(node, name, None)
        except (RefusedError, EngineError) as error:
            # It has changed since it was looked at: next time.
            node.log.info("no verification begun", vdisk=name, problem=str(error))

    def _candidate(self, name: str) -> Candidate | None:
        node = self._node
        known, vdisk = node.brain_vdisk(name), node.state.vdisk(name)
        if known is None or vdisk is None or known.phase is not Phase.IN_SYNC or known.role is not Role.MASTER:
            return None
        return Candidate(name, node.state.verified_ms(vdisk.serial))
