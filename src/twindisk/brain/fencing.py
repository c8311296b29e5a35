"""Fence runs: one for all VDisks of a peer that wait for it.

Rules:

1. A fence run exists exactly while the link to the peer is down, this node acts by fence, and some VDisk of it is DECIDING.
   :func:`reconcile` sees to that after every event, whatever the event was.
2. Only the run that is current counts. A success that arrives after its run was cancelled says that the peer was killed
   at some time past, not that it is dead now: it is dropped, and a link that is down again gets a run of its own.
3. The Master of the first VDisk by name fences at once; the other node waits a head start, so that of two live nodes the
   Master wins.
"""

from dataclasses import replace

from twindisk.brain.alone import go_alone
from twindisk.brain.checks import acts_by, deciding
from twindisk.brain.effects import (
    CancelFence,
    CancelTimer,
    Message,
    NotReady,
    RunFence,
    Severity,
    Timer,
    TimerKind,
)
from twindisk.brain.events import FenceFailed, FenceSucceeded
from twindisk.brain.model import CheckKind, FenceRun, FenceStage, Link, Peer, PeerAddress, Role
from twindisk.brain.phases import Phase
from twindisk.brain.turn import Turn


def reconcile(turn: Turn, address: PeerAddress) -> None:
    """Begin or end the fence run of a peer, as its VDisks and link now need."""
    peer = turn.peer(address)
    waiting = deciding(turn, address)
    wanted = bool(waiting) and peer.link is Link.DOWN and acts_by(peer) is CheckKind.FENCE
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
