"""The promises, checked while a run goes on and at its end.

P1 and P3 (and with them P6) by the history of every block; P2 by who answers while the other serves alone; P4 by comparing
the disks of an idle pair. Power loss may take acknowledged writes that were not flushed, but only together with the last
copy that held them: such a moment splits the histories (:meth:`Checks.lost`). The target of a resync that lost its source so
may still answer reads from what it was sent, until it gives up its part of the attach; the split comes after the last of those.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twindisk.brain.phases import Phase
from twindisk.initiator.history import INITIAL, Operation, check
from twindisk.sim.initiator import Swap
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.world import World

_WHOLE = frozenset(
    {
        Phase.IN_SYNC,
        Phase.DECIDING,
        Phase.GOING_ALONE,
        Phase.ALONE,
        Phase.REJOINING,
        Phase.SOURCE,
        Phase.SWITCHING,
        Phase.STOPPED,
        Phase.ATTACHING,
    }
)
"""Phases of a running node that may hold everything acknowledged."""


@dataclass(slots=True)
class Split:
    """A moment at which unflushed writes of one VDisk may have been lost."""

    vdisk: int
    at_ns: int


class Checks:
    """The checkers of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.splits: list[Split] = []
        self._lingering: dict[tuple[int, str], tuple[Split, int]] = {}
        """Copies (node, serial) that lost a peer with what only it held: the split, and the epoch of the attach they were in."""
        self._power_lost: set[tuple[int, str]] = set()
        """Copies (node, serial) that lost power and have not been made equal to a whole copy since."""

    # --- while it runs ---

    def _mode(self, node: int, serial: str) -> str:
        daemon = self._world.machines[node].daemon
        return "none" if daemon is None else str(daemon.engine.node.status(serial)["mode"])

    def answered(self, node: int, serial: str) -> None:
        """Look at P2 as a node answers a command."""
        self._linger(node, serial)
        if self._world.partings.apart:
            return
        if self._mode(1 - node, serial) == "alone":
            raise Failed("P2", f"{'AB'[node]} answers ({self._mode(node, serial)}) while {'AB'[1 - node]} serves alone")

    def mode_seen(self, node: int, serial: str) -> None:
        """Look at P2 as a copy reports something, and at what is equal anew."""
        if self._world.partings.apart:
            return
        if self._mode(node, serial) == "alone" and self._mode(1 - node, serial) == "alone":
            raise Failed("P2", "both nodes serve alone")
        daemon = self._world.machines[node].daemon
        if daemon is not None:
            status = daemon.engine.node.status(serial)
            if status["mode"] == "mirroring" and status["sync"] == "none":
                self._power_lost.discard((node, serial))
                self._power_lost.discard((1 - node, serial))

    def lost(self, node: int, *, power: bool) -> None:
        """Take note that a node's process, or its power, is about to be lost."""
        for serial in self._world.vdisks:
            facts = self._world.machines[node].disks[serial].record.facts
            other_outdated = facts["base"] != 0 and not facts["ending"]
            other_whole = self._whole(1 - node, serial) and not other_outdated
            if power and not other_whole:
                self._split(1 - node, serial)
            elif (1 - node, serial) in self._power_lost and not power and self._unmarked(node, serial):
                # The last copy that held everything goes too, before the daemon has noted that it does: a second failure.
                self._split(1 - node, serial)
            if power:
                self._power_lost.add((node, serial))

    def _unmarked(self, node: int, serial: str) -> bool:
        machine = self._world.machines[node]
        generation: int = machine.disks[serial].record.facts["current"]
        return machine.unbroken.get(serial) != generation

    def _whole(self, node: int, serial: str) -> bool:
        daemon, disk = self._world.machines[node].daemon, self._world.machines[node].disks[serial]
        if daemon is None or (node, serial) in self._power_lost or disk.record.facts["inconsistent"]:
            return False  # "inconsistent": it has begun to give itself up for the peer's copy, whatever the brain knows
        vdisk = daemon.state.vdisks.get(self._world.vdisk_name(serial))
        return vdisk is not None and vdisk.phase in _WHOLE

    def _split(self, left: int, serial: str) -> None:
        """Take note of a split; ``left`` is the node that was not lost."""
        self._world.trace.note("**", "unflushed writes of %s may be lost here", serial[-1])
        split = Split(self._world.index_of(serial), self._world.clock.now_ns)
        self.splits.append(split)
        self._lingering = {key: value for key, value in self._lingering.items() if key[1] != serial}
        if self._mode(left, serial) == "mirroring":
            self._lingering[left, serial] = (split, self._epoch(left, serial))

    def _epoch(self, node: int, serial: str) -> int:
        epoch: int = self._world.machines[node].disks[serial].record.facts["epoch"]
        return epoch

    def _linger(self, node: int, serial: str) -> None:
        """Move the split behind an answer that a node gives in the attach in which it lost its peer."""
        split, epoch = self._lingering.get((node, serial), (None, 0))
        if split is None:
            return
        if self._mode(node, serial) == "mirroring" and self._epoch(node, serial) == epoch:
            split.at_ns = self._world.clock.now_ns
        else:
            del self._lingering[node, serial]

    # --- at the end ---

    def equal(self) -> None:
        """P4: an idle pair in sync is byte-identical."""
        for serial, name in self._world.vdisks.items():
            left, right = (machine.disks[serial].seen.map for machine in self._world.machines)
            if left != right:
                differ = sorted(n for n in left.keys() | right.keys() if left.get(n) != right.get(n))
                raise Failed("P4", f"{name}: in sync, but blocks {differ[:8]} ({len(differ)} in all) differ")

    def histories(self) -> None:
        """P1 and P3: every block's history is one of a single disk."""
        recorder = self._world.recorder
        recorder.forget_unmade()
        operations: dict[int, list[tuple[Operation, bool]]] = {}
        seen = {(block, value) for block, value, _, _ in recorder.reads}
        for note in recorder.notes:
            # An attempt without an answer that nobody saw may never have been carried out.
            ended = min(note.ended_ns, note.bound_ns) if (note.block, note.value) in seen else note.ended_ns
            operation = Operation(is_write=True, value=note.value, began=note.began_ns, ended=ended)
            operations.setdefault(note.block, []).append((operation, note.fua and note.ended_ns != math.inf))
        for block, value, began, ended in recorder.reads:
            operations.setdefault(block, []).append(
                (Operation(is_write=False, value=value, began=began, ended=ended), False)
            )
        self._swaps({(block, value) for block, value in seen})
        for block, all_operations in sorted(operations.items()):
            for part in self._parts(block, all_operations):
                wrong = check(part)
                if wrong:
                    words, values = wrong
                    raise Failed("P1/P3", f"block {block % 10**9} of VDisk {block // 10**9}: {words}: {values}")

    def _swaps(self, seen: set[tuple[int, int]]) -> None:
        """Check that each value gave way to at most one COMPARE AND WRITE, unless a split brought it back in between."""
        taken: dict[tuple[int, int], list[Swap]] = {}
        for swap in self._world.recorder.swaps:
            if swap.certain or (swap.block, swap.value) in seen:
                taken.setdefault((swap.block, swap.expected), []).append(swap)
        for (block, expected), swaps in taken.items():
            began_ns = min(swap.began_ns for swap in swaps)
            split = any(split.vdisk == block // 10**9 and split.at_ns >= began_ns for split in self.splits)
            if len(swaps) > 1 and not split:
                values = tuple(swap.value for swap in swaps)
                raise Failed("P3", f"block {block % 10**9}: {expected} gave way to {values}, each by compare and write")
        self._came_back(taken)

    def _came_back(self, taken: dict[tuple[int, int], list[Swap]]) -> None:
        """Check that what gave way to a COMPARE AND WRITE was not read after that was answered."""
        for block, value, began_ns, _ in self._world.recorder.reads:
            for swap in taken.get((block, value), []):
                split = any(split.vdisk == block // 10**9 and split.at_ns >= swap.began_ns for split in self.splits)
                if began_ns > swap.ended_ns and not split:
                    raise Failed("P3", f"block {block % 10**9}: {value} gave way to {swap.value}, but came back")

    def _parts(self, block: int, operations: list[tuple[Operation, bool]]) -> list[list[Operation]]:
        """Cut a block's history at the splits; each part begins with what may have been left by the one before."""
        vdisk = block // 10**9
        parts = []
        left = operations
        for split in self.splits:
            if split.vdisk != vdisk:
                continue
            at_ns = split.at_ns
            before = [(op, fua) for op, fua in left if op.began <= at_ns]
            after = [(op, fua) for op, fua in left if op.began > at_ns]
            # What was under way at the split is of both parts; a read of it tells nothing.
            parts.append([op for op, _ in before if op.is_write or op.ended <= at_ns])
            left = self._survivors(vdisk, before, after, at_ns) + after
        parts.append([op for op, _ in left])
        return parts

    def _survivors(
        self, vdisk: int, before: list[tuple[Operation, bool]], after: list[tuple[Operation, bool]], at_ns: int
    ) -> list[tuple[Operation, bool]]:
        """Return the writes that a block may hold after a split: as unknown ones, but for the one that it was seen to hold."""
        flushed_ns = max(
            (began for index, began, ended in self._world.recorder.flushes if index == vdisk and ended <= at_ns),
            default=-math.inf,
        )
        writes = [op for op, _ in before if op.is_write]
        safe = [op for op, fua in before if op.is_write and (op.ended <= flushed_ns or (fua and op.ended <= at_ns))]
        latest = max((op.began for op in safe), default=-math.inf)
        held = [op for op in writes if latest <= op.ended]
        if not safe:
            held.append(Operation(is_write=True, value=INITIAL, began=-math.inf, ended=-math.inf))
        values = {op.value for op in held}
        first_read = min(
            (op for op, _ in after if not op.is_write and op.value in values), key=lambda op: op.ended, default=None
        )
        kept: list[tuple[Operation, bool]] = []
        surely = first_read.value if first_read is not None else held[0].value
        for op in held:
            if op.value == INITIAL:
                continue
            ended = math.inf if op.ended > at_ns else at_ns
            if op.value == surely or len(held) == 1:
                kept.append((Operation(is_write=True, value=op.value, began=at_ns - 1, ended=ended), False))
            else:
                kept.append((Operation(is_write=True, value=op.value, began=at_ns - 1, ended=math.inf), False))
        return kept
