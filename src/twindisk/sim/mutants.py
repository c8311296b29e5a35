"""Planted bugs: what the core asks for, changed on its way, so that the simulator can prove that it finds them.

Each stands for a mistake somebody could make in the core: the production code itself is never touched.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Final

from twindisk.brain import events as ev
from twindisk.brain.witness import Claim
from twindisk.sim.rights import Rights

Action = tuple[Any, ...]


class Mutant:
    """No bug."""

    promise: ClassVar[str] = ""
    """The promise that the bug breaks."""

    def actions(self, node: int, actions: list[Action]) -> list[Action]:
        """Return the actions as they are to be carried out."""
        if type(self).action is Mutant.action:
            return actions
        return [self.action(node, action) for action in actions]

    def action(self, node: int, action: Action) -> Action:
        """Return one action as it is to be carried out."""
        return action

    def command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return a command's arguments as the core is to see them."""
        return arguments

    def event(self, event: ev.Event) -> ev.Event | None:
        """Return an event as the brain is to hear it; None: it never does."""
        return event

    def asked(
        self, _node: int, call: str, arguments: tuple[Any, ...], _read: Callable[[int, int], bytes]
    ) -> tuple[str, tuple[Any, ...]]:
        """Return a host's command as the core is to see it; ``read`` gives what the node's disk holds."""
        return call, arguments

    def known(self, _node: int, rights: Rights) -> Rights:
        """Return the rights of a log as a node is to see them."""
        return rights

    def claim(self, mine: Claim, attached_epoch: int, node: int) -> tuple[Claim, int]:
        """Return what a node claims at the witness, and the attach that it judges other claims by."""
        return mine, attached_epoch

    def overwrites(self) -> bool:
        """Whether the witness writes over a slot that is taken."""
        return False

    def spares(self, _node: int) -> bool:
        """Return whether a node lets the commands go on that a preemption or a reset is to end."""
        return False


def _is_disk(action: Action, operation: str) -> bool:
    return bool(action[0] == "disk" and action[3] == operation)


class ForgottenDirtyWords(Mutant):
    """The dirty bitmap is never made durable."""

    promise = "P4"

    def action(self, node: int, action: Action) -> Action:
        """Forget the bitmap's words."""
        return (*action[:7], [], *action[8:]) if _is_disk(action, "persist") else action


class ForgottenActivityLog(Mutant):
    """The activity log is never made durable."""

    promise = "P4"

    def action(self, node: int, action: Action) -> Action:
        """Forget active extents."""
        return (*action[:5], [], *action[6:]) if _is_disk(action, "persist") else action


class UnappliedChange(Mutant):
    """One change in fifty is acknowledged without having reached node B's disk."""

    promise = "P1"

    def __init__(self) -> None:
        self._count = 0

    def action(self, node: int, action: Action) -> Action:
        """Skip some changes."""
        if node == 1 and _is_disk(action, "write"):
            self._count += 1
            if self._count % 50 == 0:
                return (*action[:3], "skip")
        return action


class SkippedFlush(Mutant):
    """Flushes return at once and do nothing."""

    promise = "P1"

    def action(self, node: int, action: Action) -> Action:
        """Skip flushes."""
        return (*action[:3], "skip") if _is_disk(action, "flush") else action


class EarlyAnswer(Mutant):
    """Node B says that it applied a change before it has."""

    promise = "P3"

    def action(self, node: int, action: Action) -> Action:
        """Have changes reported done at once and done late."""
        return (*action[:3], "late", *action[4:]) if node == 1 and _is_disk(action, "write") else action


class IgnoredLease(Mutant):
    """Going on alone does not wait for the peer's lease."""

    promise = "P2"

    def command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Pretend that the peer was fenced."""
        return {**arguments, "fenced": True} if name == "go_alone" else arguments


class ForgottenOutdated(Mutant):
    """That the peer is outdated is not made durable."""

    promise = "P2"

    def action(self, node: int, action: Action) -> Action:
        """Keep the facts of a copy that is not alone."""
        if _is_disk(action, "persist") and action[4]["base"] and not action[4]["inconsistent"]:
            facts = {**action[4], "current": action[4]["base"], "base": 0, "lineage": []}
            return (*action[:4], facts, *action[5:])
        return action


class ForgottenRecord(Mutant):
    """The shared record is never made durable."""

    promise = "P5"

    def action(self, node: int, action: Action) -> Action:
        """Forget the record."""
        return (*action[:8], None) if _is_disk(action, "persist") else action


class IgnoredDrain(Mutant):
    """A change of the shared record does not wait for the commands that it forbids."""

    promise = "P5"

    def action(self, node: int, action: Action) -> Action:
        """Forget that something is to end first."""
        return (*action[:4], False) if action[0] == "record" else action


class SparedCommands(Mutant):
    """Node B ends no commands for what is put in force."""

    promise = "P5"

    def spares(self, node: int) -> bool:
        """Say so."""
        return node == 1


class StaleRecord(Mutant):
    """Node B never hears of changes of the shared record."""

    promise = "P5"

    def action(self, node: int, action: Action) -> Action:
        """Tell an empty record."""
        return (*action[:3], b"", False) if action[0] == "record" and node == 1 else action


class StaleSource(Mutant):
    """Node B copies what it knows of a source since it copied it for the first time."""

    promise = "P3"

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], bytes] = {}

    def asked(
        self, node: int, call: str, arguments: tuple[Any, ...], read: Callable[[int, int], bytes]
    ) -> tuple[str, tuple[Any, ...]]:
        """Write what was there once."""
        if node == 1 and call == "host_copy":
            source, target, len_bytes = arguments
            kept = self._kept.setdefault((source, len_bytes), read(source, len_bytes))
            return "host_write", (target, kept, False)
        return call, arguments


class IgnoredProtection(Mutant):
    """Node B writes to a disk that is write-protected."""

    promise = "P5"

    def known(self, node: int, rights: Rights) -> Rights:
        """Know of no protection."""
        return replace(rights, protected=False) if node == 1 else rights


class IgnoredReserve(Mutant):
    """Node B lets everybody write whoever has reserved."""

    promise = "P5"

    def known(self, node: int, rights: Rights) -> Rights:
        """Know of no holder."""
        return replace(rights, holder=None) if node == 1 else rights


class ForgetfulWitness(Mutant):
    """The witness writes although somebody has, as a store does that does not know the condition."""

    promise = "P2"

    def overwrites(self) -> bool:
        """Write over it."""
        return True


class EveryClaimSpent(Mutant):
    """Node B takes every claim of its peer for one of before."""

    promise = "P2"

    def claim(self, mine: Claim, attached_epoch: int, node: int) -> tuple[Claim, int]:
        """Pretend to have been attached since."""
        return mine, 1 << 60 if node == 1 else attached_epoch


class OldEpochClaimed(Mutant):
    """A claim bears the epoch before the one that its owner was attached at last."""

    promise = "P2"

    def claim(self, mine: Claim, attached_epoch: int, node: int) -> tuple[Claim, int]:
        """Claim by the attach before."""
        return Claim(mine.owner, attached_epoch - 1), attached_epoch


class IgnoredFence(Mutant):
    """A fence run that failed counts as one that succeeded."""

    promise = "P2"

    def event(self, event: ev.Event) -> ev.Event | None:
        """Turn it round."""
        return ev.FenceSucceeded(event.peer, event.run) if isinstance(event, ev.FenceFailed) else event


class UntoldFence(Mutant):
    """How a fence run ended is never told."""

    promise = "P7"

    def event(self, event: ev.Event) -> ev.Event | None:
        """Keep it."""
        return None if isinstance(event, ev.FenceFailed | ev.FenceSucceeded) else event


class IgnoredClaim(Mutant):
    """A claim that the peer's came before counts as won."""

    promise = "P2"

    def event(self, event: ev.Event) -> ev.Event | None:
        """Turn it round."""
        return ev.ClaimWon(event.vdisk, event.run) if isinstance(event, ev.ClaimLost) else event


class OutdatedStart(Mutant):
    """A node that starts takes its peer for outdated, whatever its own copy says."""

    promise = "P2"

    def event(self, event: ev.Event) -> ev.Event | None:
        """Change the facts of a copy that was opened."""
        if isinstance(event, ev.VDiskOpened) and not event.facts.base and event.facts.current:
            return replace(event, facts=replace(event.facts, base=event.facts.current))
        return event


class ForgottenParting(Mutant):
    """A node that is started anew does not know that its copies have parted."""

    promise = "P2"

    def event(self, event: ev.Event) -> ev.Event | None:
        """Leave it out where a copy is opened."""
        return replace(event, parted=False) if isinstance(event, ev.VDiskOpened) else event


class UnseenParting(Mutant):
    """A copy that went on alone is taken for one that stood still."""

    promise = "liveness"

    def event(self, event: ev.Event) -> ev.Event | None:
        """Have the peer's copy be as it was when it parted."""
        if isinstance(event, ev.PeerFacts) and event.local.base and event.remote.base:
            still = replace(event.remote, current=event.remote.base, base=0, lineage=())
            return replace(event, remote=still)
        return event


MUTANTS: Final[dict[str, type[Mutant]]] = {
    "none": Mutant,
    "forgotten-dirty-words": ForgottenDirtyWords,
    "forgotten-activity-log": ForgottenActivityLog,
    "unapplied-change": UnappliedChange,
    "skipped-flush": SkippedFlush,
    "early-answer": EarlyAnswer,
    "ignored-lease": IgnoredLease,
    "forgotten-outdated": ForgottenOutdated,
    "forgotten-record": ForgottenRecord,
    "ignored-drain": IgnoredDrain,
    "spared-commands": SparedCommands,
    "stale-record": StaleRecord,
    "stale-source": StaleSource,
    "ignored-protection": IgnoredProtection,
    "ignored-reserve": IgnoredReserve,
    "forgetful-witness": ForgetfulWitness,
    "every-claim-spent": EveryClaimSpent,
    "old-epoch-claimed": OldEpochClaimed,
    "ignored-fence": IgnoredFence,
    "untold-fence": UntoldFence,
    "ignored-claim": IgnoredClaim,
    "outdated-start": OutdatedStart,
    "forgotten-parting": ForgottenParting,
    "unseen-parting": UnseenParting,
}
