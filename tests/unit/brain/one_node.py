"""One brain driven by hand, and a path to every phase."""

from collections.abc import Callable
from dataclasses import replace

from twindisk.brain import CopyFacts, FreshIds, NodeState, PeerAddress, VDiskName, decide
from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.checks import ruling_rule
from twindisk.brain.invariants import broken_invariants
from twindisk.brain.model import Check, CheckKind, Role, Rule, Sync, VDisk
from twindisk.brain.phases import Phase

HERE = PeerAddress("127.0.1.10")
PEER = PeerAddress("127.0.1.11")
M1 = VDiskName("M1")
M2 = VDiskName("M2")
SECOND_NS = 1_000_000_000
FENCE = (Check(CheckKind.FENCE, "fence-peer"),)
MANUAL = (Check(CheckKind.MANUAL),)
IGNORE = (Check(CheckKind.IGNORE),)
WITNESS = (Check(CheckKind.WITNESS, "file:///witness", "w1"),)
SAME_WITNESS = Rule(CheckKind.WITNESS, "w1")

EQUAL_MASTER = CopyFacts(current=7, epoch=3, role=Role.MASTER, seq=11)
EQUAL_SLAVE = CopyFacts(current=7, epoch=3, role=Role.SLAVE, seq=22)
AHEAD = CopyFacts(current=8, base=7, epoch=4, role=Role.MASTER, seq=33)
BLANK = CopyFacts(current=0, seq=44)
UNRELATED = CopyFacts(current=99, epoch=5, role=Role.MASTER, seq=55)
SPLIT = CopyFacts(current=9, base=7, epoch=4, role=Role.MASTER, seq=66)


class OneNode:
    def __init__(self, checks: tuple[Check, ...] = FENCE) -> None:
        self.state = NodeState(address=HERE)
        self.now_ns = SECOND_NS
        self.does(ev.ChecksChanged(PEER, checks))

    def does(self, event: ev.Event) -> tuple[ef.Effect, ...]:
        """Decide one event; return the effects that are not words."""
        self.now_ns += SECOND_NS
        self.state, effects = decide(self.state, event, self.now_ns, FreshIds(self.now_ns.to_bytes(16, "big")))
        broken = broken_invariants(self.state)
        assert not broken, (event, broken)
        self.words = tuple(effect for effect in effects if isinstance(effect, ef.Notify | ef.Log))
        self.said = tuple(word.message for word in self.words)
        return tuple(effect for effect in effects if not isinstance(effect, ef.Notify | ef.Log))

    def vdisk(self, name: VDiskName = M1) -> VDisk:
        return self.state.vdisks[name]

    def phase(self, name: VDiskName = M1) -> Phase:
        return self.vdisk(name).phase

    def run(self) -> int:
        """Return the number of the peer's newest fence run."""
        return self.state.peers[PEER].runs


def opened(
    facts: CopyFacts, checks: tuple[Check, ...] = FENCE, peer: PeerAddress | None = PEER, *, link: bool = False
) -> OneNode:
    node = OneNode(checks)
    node.does(ev.VDiskOpened(M1, peer, facts))
    if link:
        node.does(ev.PeerUp(PEER))
        agree(node)
    return node


def agree(node: OneNode) -> None:
    """Let the peer tell the check that this node has, and have heard of it."""
    rule = ruling_rule(node.state.peers[PEER].checks)
    node.does(ev.PeerCheckTold(PEER, rule))
    node.does(ev.CheckHeard(PEER, rule))


def wait_over(node: OneNode) -> None:
    """Let the time pass that copies wait for the exchange of checks."""
    node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.CHECKS_WAIT, PEER)))


def attach(node: OneNode, local: CopyFacts, remote: CopyFacts, name: VDiskName = M1) -> None:
    """Exchange facts and let the engine attach as told."""
    told = node.does(ev.PeerFacts(name, local, remote))
    order = next(effect for effect in told if isinstance(effect, ef.Attach))
    node.does(ev.Attached(name, order.role, order.sync))


def in_sync(role: Role = Role.MASTER, checks: tuple[Check, ...] = FENCE, *names: VDiskName) -> OneNode:
    """Return a node whose VDisks (M1 unless named) are in sync, all in one role."""
    node = OneNode(checks)
    local, remote = (EQUAL_MASTER, EQUAL_SLAVE) if role is Role.MASTER else (EQUAL_SLAVE, EQUAL_MASTER)
    for name in names or (M1,):
        node.does(ev.VDiskOpened(name, PEER, local))
    node.does(ev.PeerUp(PEER))
    agree(node)
    for name in names or (M1,):
        attach(node, local, remote, name)
    return node


def syncing(sync: Sync) -> OneNode:
    """Return a node that is the source or the target of a resync."""
    local, remote = (AHEAD, EQUAL_SLAVE) if sync is Sync.SOURCE else (EQUAL_SLAVE, AHEAD)
    node = opened(local, link=True)
    attach(node, local, remote)
    return node


def lost(role: Role = Role.MASTER, checks: tuple[Check, ...] = FENCE, *names: VDiskName) -> OneNode:
    """Return a node that was in sync and lost its peer."""
    node = in_sync(role, checks, *names)
    node.does(ev.PeerDown(PEER))
    return node


def alone(*, link: bool = False) -> OneNode:
    node = lost()
    node.does(ev.FenceSucceeded(PEER, node.run()))
    node.does(ev.Alone(M1, 2))
    if link:
        node.does(ev.PeerUp(PEER))
    return node


def rejoining() -> OneNode:
    node = alone(link=True)
    node.does(ev.PeerFacts(M1, replace(node.vdisk().facts, seq=70), EQUAL_SLAVE))
    return node


def _going_alone() -> OneNode:
    node = lost()
    node.does(ev.FenceSucceeded(PEER, node.run()))
    return node


def _stopped(*, link: bool = False) -> OneNode:
    node = lost()
    node.does(ev.FenceFailed(PEER, node.run()))
    if link:
        node.does(ev.PeerUp(PEER))
    return node


def _after(node: OneNode, *events: ev.Event) -> OneNode:
    for event in events:
        node.does(event)
    return node


def _deciding_again() -> OneNode:
    return _after(lost(), ev.PeerUp(PEER))


def _attaching(facts: CopyFacts, remote: CopyFacts) -> OneNode:
    return _after(opened(facts, link=True), ev.PeerFacts(M1, facts, remote))


def _attaching_again(remote: CopyFacts) -> OneNode:
    return _after(_deciding_again(), ev.PeerFacts(M1, EQUAL_MASTER, remote))


_TO_SLAVE = ev.SetRole(M1, Role.SLAVE)


SITUATIONS: dict[str, Callable[[], OneNode]] = {
    "single": lambda: opened(EQUAL_MASTER, peer=None),
    "peer-wait (link down)": lambda: opened(EQUAL_MASTER),
    "peer-wait (link up)": lambda: opened(EQUAL_MASTER, link=True),
    "peer-wait (surely current)": lambda: opened(AHEAD),
    "attaching (from peer-wait, as source)": lambda: _attaching(AHEAD, EQUAL_SLAVE),
    "attaching (from deciding, no resync)": lambda: _attaching_again(EQUAL_SLAVE),
    "attaching (from deciding, as target)": lambda: _attaching_again(AHEAD),
    "in-sync (Master)": in_sync,
    "in-sync (Slave)": lambda: in_sync(Role.SLAVE),
    "source": lambda: syncing(Sync.SOURCE),
    "target": lambda: syncing(Sync.TARGET),
    "switching": lambda: _after(in_sync(), _TO_SLAVE),
    "deciding (fence, Master)": lost,
    "deciding (fence, Slave)": lambda: lost(Role.SLAVE),
    "deciding (manual, Slave)": lambda: lost(Role.SLAVE, MANUAL),
    "deciding (witness, Master)": lambda: lost(checks=WITNESS),
    "deciding (witness, Slave)": lambda: lost(Role.SLAVE, WITNESS),
    "deciding (witness not reached)": lambda: _after(lost(checks=WITNESS), ev.ClaimFailed(M1, 1)),
    "deciding (link back)": _deciding_again,
    "going-alone": _going_alone,
    "alone (link down)": alone,
    "alone (link up)": lambda: alone(link=True),
    "rejoining": rejoining,
    "stopped (link down)": _stopped,
    "stopped (link up)": lambda: _stopped(link=True),
    "leaving": lambda: _after(in_sync(), ev.Stop()),
    "left": lambda: _after(in_sync(), ev.Stop(), ev.Left(M1)),
    "invalid (split brain)": lambda: _after(opened(AHEAD, link=True), ev.PeerFacts(M1, AHEAD, SPLIT)),
    "invalid (withheld)": lambda: _after(in_sync(), ev.MirrorRemoved(M1, EQUAL_MASTER, by_peer=True)),
    "failed": lambda: _after(in_sync(), ev.DiskFailed(M1, "write", 5)),
    "attaching (stopping)": lambda: _after(_attaching(AHEAD, EQUAL_SLAVE), ev.Stop()),
    "switching (stopping)": lambda: _after(in_sync(), _TO_SLAVE, ev.Stop()),
}
"""A node in every phase, in each variety that a rule tells apart; the name begins with the phase."""


def events() -> dict[str, ev.Event]:
    """Return every kind of event, in each variety that a rule tells apart."""
    timers = {
        f"TimerExpired ({kind.value})": ev.TimerExpired(ef.Timer(kind, subject))
        for kind, subject in (
            (ef.TimerKind.STARTUP_WAIT, M1),
            (ef.TimerKind.HEAD_START, PEER),
            (ef.TimerKind.CLAIM, M1),
            (ef.TimerKind.ATTACH_RETRY, M1),
            (ef.TimerKind.CHECKS_WAIT, PEER),
            (ef.TimerKind.SETTLE, M1),
            (ef.TimerKind.LEAVE_LIMIT, ""),
        )
    }
    failures: dict[str, ev.Event] = {
        f"CommandFailed ({command.value})": ev.CommandFailed(M1, command) for command in ev.Command
    }
    return {
        "PeerUp": ev.PeerUp(PEER),
        "PeerDown": ev.PeerDown(PEER, ev.LinkLoss.SILENT),
        "PeerFacts (equal)": ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE),
        "PeerFacts (we are ahead)": ev.PeerFacts(M1, replace(AHEAD, epoch=9), EQUAL_SLAVE),
        "PeerFacts (peer is ahead)": ev.PeerFacts(M1, EQUAL_MASTER, AHEAD),
        "PeerFacts (peer is blank)": ev.PeerFacts(M1, EQUAL_MASTER, BLANK),
        "PeerFacts (split brain)": ev.PeerFacts(M1, replace(AHEAD, epoch=9), SPLIT),
        "PeerFacts (unrelated)": ev.PeerFacts(M1, replace(AHEAD, epoch=9), UNRELATED),
        "Attached (Master, none)": ev.Attached(M1, Role.MASTER, Sync.NONE),
        "Attached (Master, source)": ev.Attached(M1, Role.MASTER, Sync.SOURCE),
        "Attached (Slave, target)": ev.Attached(M1, Role.SLAVE, Sync.TARGET),
        "AttachRefused": ev.AttachRefused(M1, "stale"),
        "Resynced": ev.Resynced(M1, Role.MASTER),
        "Held": ev.Held(M1),
        "Held (peer outdated)": ev.Held(M1, peer_outdated=True),
        "Alone": ev.Alone(M1, 3),
        "PeerLeft": ev.PeerLeft(M1),
        "Left": ev.Left(M1),
        "Switching": ev.Switching(M1),
        "DiskFailed": ev.DiskFailed(M1, "flush", 5),
        "VDiskOpened (mirrored)": ev.VDiskOpened(M1, PEER, EQUAL_MASTER),
        "VDiskOpened (single)": ev.VDiskOpened(M1, None, EQUAL_MASTER),
        "VDiskOpened (withheld)": ev.VDiskOpened(M1, None, EQUAL_MASTER, withheld=True),
        "VDiskClosed": ev.VDiskClosed(M1),
        "MirrorConfigured (sending)": ev.MirrorConfigured(M1, PEER, EQUAL_MASTER, accepting=False),
        "MirrorConfigured (receiving)": ev.MirrorConfigured(M1, PEER, BLANK, accepting=True),
        "MirrorConfigured (receiving, not blank)": ev.MirrorConfigured(M1, PEER, EQUAL_MASTER, accepting=True),
        "MirrorRemoved": ev.MirrorRemoved(M1, EQUAL_MASTER),
        "MirrorRemoved (by the peer)": ev.MirrorRemoved(M1, EQUAL_MASTER, by_peer=True),
        "MirrorRemoved (inconsistent)": ev.MirrorRemoved(M1, replace(EQUAL_SLAVE, inconsistent=True)),
        "ChecksChanged (none)": ev.ChecksChanged(PEER, ()),
        "ChecksChanged (manual)": ev.ChecksChanged(PEER, MANUAL),
        "ChecksChanged (ignore)": ev.ChecksChanged(PEER, IGNORE),
        "ChecksChanged (witness)": ev.ChecksChanged(PEER, WITNESS),
        "PeerCheckTold (manual)": ev.PeerCheckTold(PEER, Rule(CheckKind.MANUAL)),
        "PeerCheckTold (witness)": ev.PeerCheckTold(PEER, SAME_WITNESS),
        "CheckHeard (witness)": ev.CheckHeard(PEER, SAME_WITNESS),
        "FenceSucceeded (current run)": ev.FenceSucceeded(PEER, 1),
        "FenceSucceeded (old run)": ev.FenceSucceeded(PEER, 0),
        "FenceFailed (current run)": ev.FenceFailed(PEER, 1),
        "ClaimWon (current run)": ev.ClaimWon(M1, 1),
        "ClaimWon (old run)": ev.ClaimWon(M1, 0),
        "ClaimLost (current run)": ev.ClaimLost(M1, 1),
        "ClaimFailed (current run)": ev.ClaimFailed(M1, 1, "no answer"),
        **timers,
        **failures,
        "SetRole (master)": ev.SetRole(M1, Role.MASTER),
        "SetRole (master, force)": ev.SetRole(M1, Role.MASTER, force=True),
        "SetRole (slave)": ev.SetRole(M1, Role.SLAVE),
        "Stop": ev.Stop(),
    }


def only(effects: tuple[ef.Effect, ...], kind: type[ef.Effect]) -> list[ef.Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


def goes_alone(effects: tuple[ef.Effect, ...]) -> ef.GoAlone | None:
    return next((effect for effect in effects if isinstance(effect, ef.GoAlone)), None)
