"""The claims the brain asked for: at most one per VDisk at a time, outcomes by run number.

A cancelled claim reports nothing; what it has sent may still reach the witness, and does no harm there. Every other claim reports
an outcome, come what may: held I/O waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from twindisk.brain.effects import RunClaim
from twindisk.brain.events import ClaimFailed, ClaimLost, ClaimWon, Event
from twindisk.brain.model import VDiskName
from twindisk.brain.witness import Claim, Verdict, Walk
from twindisk.errors import TwindiskError
from twindisk.node.log import Log
from twindisk.node.runs import Runs
from twindisk.node.state import State
from twindisk.sentences import tell
from twindisk.witness import use
from twindisk.witness.hints import Hints


class ClaimRuns:
    """Claims at witnesses and posts what came of it."""

    def __init__(self, post: Callable[[Event], None], state: State, etc: Path, node_name: str, log: Log) -> None:
        self._post = post
        self._state = state
        self._etc = etc
        self._node_name = node_name
        self._log = log
        self._runs: Runs[VDiskName] = Runs("claim")
        self._hints = Hints()
        self._troubles: dict[VDiskName, str] = {}
        """What was logged last of a VDisk whose witness is not reached."""

    def start(self, effect: RunClaim) -> None:
        """Start a claim; an older one of the same VDisk is given up."""
        self._runs.start(effect.vdisk, effect.run, lambda _: self._run(effect))

    def cancel(self, vdisk: VDiskName, number: int) -> None:
        """Give up a claim; nothing when it is over or another one."""
        self._runs.cancel(vdisk, number)

    async def stop(self) -> None:
        """Give up all claims."""
        await self._runs.stop()

    async def _run(self, effect: RunClaim) -> None:
        log = self._log.bind(vdisk=effect.vdisk, peer=effect.peer, run=effect.run, witness=effect.place)
        begun = asyncio.get_running_loop().time()
        try:
            verdict, standing = await self._claim(effect)
        except TwindiskError as error:
            told = tell(error).detail
            self._log_trouble(log, effect.vdisk, told)
            self._post(ClaimFailed(effect.vdisk, effect.run, told))
        except Exception:  # no outcome would hold the VDisk's I/O for ever
            log.exception("a claim broke off")
            self._post(ClaimFailed(effect.vdisk, effect.run, "an internal error"))
        else:
            seconds = round(asyncio.get_running_loop().time() - begun, 3)
            self._troubles.pop(effect.vdisk, None)
            log.warning("the witness answered", verdict=verdict.value, owner=standing.owner, seconds=seconds)
            outcome = ClaimWon if verdict is Verdict.WON else ClaimLost
            self._post(outcome(effect.vdisk, effect.run))

    def _log_trouble(self, log: Log, vdisk: VDiskName, told: str) -> None:
        """Say once what is asked again and again."""
        if self._troubles.get(vdisk) == told:
            log.debug("the witness was not reached again", problem=told)
        else:
            self._troubles[vdisk] = told
            log.warning("the witness was not reached", problem=told)

    async def _claim(self, effect: RunClaim) -> tuple[Verdict, Claim]:
        known = self._state.vdisk(effect.vdisk)
        if known is None:
            raise KeyError(effect.vdisk)
        return await use.claim(
            effect.place,
            self._etc,
            effect.limit_ms / 1000,
            witness=effect.witness,
            walk=Walk(Claim(effect.owner, effect.epoch), effect.attached_epoch),
            serial=known.serial,
            vdisk=effect.vdisk,
            node=self._node_name,
            hints=self._hints,
        )
