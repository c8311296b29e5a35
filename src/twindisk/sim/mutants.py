"""Planted bugs: what the core asks for, changed on its way, so that the simulator can prove that it finds them.

Each stands for a mistake somebody could make in the core: the production code itself is never touched.
"""

from typing import Any

Action = tuple[Any, ...]


class Mutant:
    """No bug."""

    def actions(self, _node: int, actions: list[Action]) -> list[Action]:
        """Return the actions as they are to be carried out."""
        return actions

    def leases(self) -> bool:
        """Whether heartbeats mean anything."""
        return True


class DroppedDirtyWord(Mutant):
    """The dirty bitmap of a copy that goes on alone is not made durable, nor is its activity log."""

    def actions(self, _node: int, actions: list[Action]) -> list[Action]:
        """Forget bitmap words, and active extents while the peer is outdated."""
        return [self._forget(action) for action in actions]

    @staticmethod
    def _forget(action: Action) -> Action:
        if action[0] == "disk" and action[3] == "persist" and action[4]["base"]:
            return (*action[:5], [], action[6], [])
        return action


class ForgottenActivityLog(Mutant):
    """The activity log is never made durable."""

    def actions(self, _node: int, actions: list[Action]) -> list[Action]:
        """Forget active extents."""
        return [
            (*action[:5], [], *action[6:]) if action[0] == "disk" and action[3] == "persist" else action for action in actions
        ]


class UnsentChange(Mutant):
    """One change in fifty is acknowledged without having reached the Slave's disk."""

    def __init__(self) -> None:
        self._count = 0

    def actions(self, node: int, actions: list[Action]) -> list[Action]:
        """Turn some changes of node 1's disk into reads of the same range."""
        return [self._skip(action) if node == 1 else action for action in actions]

    def _skip(self, action: Action) -> Action:
        if action[0] == "disk" and action[3] == "write":
            self._count += 1
            if self._count % 50 == 0:
                return (*action[:3], "skip", *action[4:])
        return action


class SkippedFlush(Mutant):
    """Flushes return at once and do nothing."""

    def actions(self, _node: int, actions: list[Action]) -> list[Action]:
        """Turn flushes into nothing."""
        return [(*action[:3], "skip") if action[0] == "disk" and action[3] == "flush" else action for action in actions]


class EarlyAnswer(Mutant):
    """The Slave says that it applied a change before it has: the disk is told later."""

    def actions(self, _node: int, actions: list[Action]) -> list[Action]:
        """Report changes done at once, and do them late."""
        return [(*action[:3], "late", *action[4:]) if action[0] == "disk" and action[3] == "write" else action for action in actions]


class IgnoredLease(Mutant):
    """Going on alone does not wait for the peer's lease."""


MUTANTS: dict[str, type[Mutant]] = {
    "none": Mutant,
    "dirty-word": DroppedDirtyWord,
    "activity-log": ForgottenActivityLog,
    "unsent": UnsentChange,
    "no-flush": SkippedFlush,
    "early-answer": EarlyAnswer,
    "lease": IgnoredLease,
}
