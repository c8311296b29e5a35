"""The mirror checks: what a node that lost its peer may do, and the fence runs shared by the VDisks of a peer.

Rules:

1. The strictest kind of check configured for a peer rules alone: fence before manual before ignore. A failed fence never
   falls back to a weaker check.
2. A fence run exists exactly while the link to the peer is down, its rule is fence, and some VDisk of it is DECIDING.
   :func:`reconcile` sees to that after every event, whatever the event was.
3. Only the run that is current counts. A success that arrives after its run was cancelled says that the peer was killed
   at some time past, not that it is dead now: it is dropped, and a link that is down again gets a run of its own.
4. The Master of the first VDisk by name fences at once; the other node waits a head start, so that of two live nodes the
   Master wins.
5. Both nodes rule by the same kind, fence or manual. Anything else may let both go on, and operators are warned of it once,
   on both nodes, when the link comes up or a check is changed. No check at all is safe: that node stops.
"""

from dataclasses import replace

from twindisk.brain.alone import go_alone
from twindisk.brain.effects import (
    CancelFence,
    CancelTimer,
    Message,
    Notify,
    NotReady,
    RunFence,
    Severity,
    StopServing,
    Timer,
    TimerKind,
)
from twindisk.brain.events import ChecksChanged, FenceFailed, FenceSucceeded, PeerCheckTold
from twindisk.brain.model import Check, CheckKind, FenceRun, FenceStage, Link, Peer, PeerAddress, Role, VDisk
from twindisk.brain.phases import Phase
from twindisk.brain.turn import Turn

_STRICTEST_FIRST = (CheckKind.FENCE, CheckKind.MANUAL, CheckKind.IGNORE)


def ruling_kind(checks: tuple[Check, ...]) -> CheckKind | None:
    """Return the kind of check that rules; None if there is none."""
    kinds = {check.kind for check in checks}
    return next((kind for kind in _STRICTEST_FIRST if kind in kinds), None)


def deciding(turn: Turn, address: PeerAddress) -> list[VDisk]:
    """Return the VDisks of a peer that wait for a decision, by name."""
    return [vdisk for vdisk in turn.with_peer(address) if vdisk.phase is Phase.DECIDING]


def apply_checks(turn: Turn, vdisk: VDisk) -> None:
    """Decide for a DECIDING VDisk whose link is down; a fence run decides later, and I/O stays held until then."""
    if vdisk.peer is None:
        return
    kind = ruling_kind(turn.peer(vdisk.peer).checks)
    if kind is CheckKind.MANUAL and vdisk.role is Role.MASTER:
        turn.warn(Message.MANUAL_MASTER, vdisk)
        go_alone(turn, vdisk, fenced=False)
    elif kind is CheckKind.MANUAL:
        turn.warn(Message.AWAITS_OPERATOR, vdisk)
        turn.emit(StopServing(vdisk.name, NotReady.STANDBY))
    elif kind is CheckKind.IGNORE:
        turn.warn(Message.WENT_ALONE_UNCHECKED, vdisk)
        go_alone(turn, vdisk, fenced=False)
    elif kind is None:
        turn.warn(Message.STOPPED_WITHOUT_CHECKS, vdisk)
        turn.serve_nothing(vdisk, Phase.STOPPED, NotReady.STANDBY, Role.SLAVE)


def reconcile(turn: Turn, address: PeerAddress) -> None:
    """Begin or end the fence run of a peer, as its VDisks and link now need."""
    peer = turn.peer(address)
    waiting = deciding(turn, address)
    wanted = bool(waiting) and peer.link is Link.DOWN and ruling_kind(peer.checks) is CheckKind.FENCE
    if wanted and peer.fence is None:
        _begin(turn, peer, head_start=waiting[0].role is not Role.MASTER)
    elif not wanted and peer.fence is not None:
        _end(turn, peer, peer.fence)


def _begin(turn: Turn, peer: Peer, *, head_start: bool) -> None:
    number = peer.runs + 1
    stage = FenceStage.HEAD_START if head_start else FenceStage.RUNNING
    begun = replace(peer, fence=FenceRun(number, stage), runs=number)
    turn.put_peer(begun)
    if head_start:
        turn.start_timer(TimerKind.HEAD_START, peer.address, turn.state.settings.head_start_ms)
    else:
        _run(turn, begun, number)


def _run(turn: Turn, peer: Peer, number: int) -> None:
    commands = tuple(check.command for check in peer.checks if check.kind is CheckKind.FENCE)
    turn.emit(RunFence(peer.address, number, commands, turn.state.settings.fence_limit_ms))


def _end(turn: Turn, peer: Peer, run: FenceRun) -> None:
    turn.put_peer(replace(peer, fence=None))
    if run.stage is FenceStage.HEAD_START:
        turn.emit(CancelTimer(Timer(TimerKind.HEAD_START, peer.address)))
    else:
        turn.emit(CancelFence(peer.address, run.number))


def on_head_start_over(turn: Turn, address: PeerAddress) -> None:
    """Fence: the other node had its time."""
    peer = turn.peer(address)
    if peer.fence is None or peer.fence.stage is not FenceStage.HEAD_START:
        return
    turn.put_peer(replace(peer, fence=replace(peer.fence, stage=FenceStage.RUNNING)))
    _run(turn, peer, peer.fence.number)


def _finish(turn: Turn, address: PeerAddress, number: int) -> bool:
    """Take a run's result off the books; False if it is not the current, running one."""
    peer = turn.peer(address)
    if peer.fence != FenceRun(number, FenceStage.RUNNING):
        return False
    turn.put_peer(replace(peer, fence=None))
    return True


def on_fence_succeeded(turn: Turn, event: FenceSucceeded) -> None:
    """Let every VDisk that waited go on alone: the peer is dead."""
    if not _finish(turn, event.peer, event.run):
        return
    for vdisk in deciding(turn, event.peer):
        turn.warn(Message.PEER_FAILED, vdisk)
        go_alone(turn, vdisk, fenced=True)


def on_fence_failed(turn: Turn, event: FenceFailed) -> None:
    """Make every VDisk that waited a Slave that serves nothing: the peer may be alive and serving."""
    if not _finish(turn, event.peer, event.run):
        return
    for vdisk in deciding(turn, event.peer):
        turn.notify(Severity.WARNING, Message.FENCE_FAILED, vdisk)
        turn.serve_nothing(vdisk, Phase.STOPPED, NotReady.STANDBY, Role.SLAVE)


def on_checks_changed(turn: Turn, event: ChecksChanged) -> None:
    """Keep the new list; VDisks that are deciding follow a change of the ruling kind, a running fence runs on."""
    before = turn.peer(event.peer)
    turn.put_peer(replace(before, checks=event.checks))
    _compare(turn, event.peer)
    if before.link is Link.UP or ruling_kind(before.checks) is ruling_kind(event.checks):
        return
    for vdisk in deciding(turn, event.peer):
        apply_checks(turn, vdisk)


def on_peer_check_told(turn: Turn, event: PeerCheckTold) -> None:
    """Keep what rules at the peer."""
    turn.put_peer(replace(turn.peer(event.peer), their_check=event.kind))
    _compare(turn, event.peer)


def _compare(turn: Turn, address: PeerAddress) -> None:
    """Warn, once, of checks that may let both nodes go on."""
    peer = turn.peer(address)
    found = _may_part(ruling_kind(peer.checks), peer.their_check)
    if found == peer.warned_of:
        return
    turn.put_peer(replace(peer, warned_of=found))
    if found is not None:
        detail = f"{found[0]} here, {found[1]} there"
        turn.emit(
            Notify(severity=Severity.WARNING, message=Message.CHECKS_MAY_PART, vdisk=None, peer=address, detail=detail)
        )


def _may_part(ours: CheckKind | None, theirs: CheckKind | None) -> tuple[CheckKind, CheckKind] | None:
    """Return the pair of ruling checks if both nodes may go on after one loss of the link.

    fence and manual: a Master under manual goes on, and is then killed with what it wrote alone. ignore: goes on whatever
    the other does.
    """
    if ours is None or theirs is None or (ours is theirs and ours is not CheckKind.IGNORE):
        return None
    return ours, theirs
