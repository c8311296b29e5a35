"""Links that come and go, copies that lose their peer, and a peer that hands over.

Rules:

1. What was in sync holds its I/O and is DECIDING: the checks run while the link is down; once it is back, the peer's facts
   decide and no check does.
2. The source of a resync goes on without a check if the peer knows that it is behind; once the end was offered it no
   longer does, and the source asks the checks like a copy in sync.
3. The target of a resync never takes over.
4. A peer that handed over serves nothing: the node goes on at once, without the checks.
"""

from dataclasses import replace

from twindisk.brain import attaching, exchange
from twindisk.brain.alone import go_alone
from twindisk.brain.checks import apply_checks
from twindisk.brain.effects import Message, NotReady, Severity, StopServing, TimerKind
from twindisk.brain.events import Held, LinkLoss, PeerDown, PeerLeft, PeerUp
from twindisk.brain.model import Attachment, Link, Role, VDisk
from twindisk.brain.phases import Phase
from twindisk.brain.turn import Turn


def on_peer_up(turn: Turn, event: PeerUp) -> None:
    """Wait for the peer's facts; I/O that is held for them is held a bounded time."""
    peer = turn.peer(event.peer)
    if peer.link is Link.UP:
        return
    turn.put_peer(replace(peer, link=Link.UP))
    turn.notify_of_peer(Severity.INFORMATION, Message.LINK_UP, event.peer)
    exchange.begin(turn, event.peer)
    for vdisk in turn.with_peer(event.peer):
        if vdisk.phase is Phase.SOURCE:
            # The engine never said that the copy was held, but it lost its peer: it is not attached any more.
            _decide(turn, vdisk)
            continue
        if vdisk.phase is Phase.DECIDING:
            turn.start_timer(TimerKind.SETTLE, vdisk.name, turn.state.settings.settle_ms)
        attaching.consider(turn, vdisk)


def on_peer_down(turn: Turn, event: PeerDown) -> None:
    """Every VDisk of the peer acts on the loss by its phase."""
    peer = turn.peer(event.peer)
    was_up = peer.link is Link.UP
    turn.put_peer(replace(peer, link=Link.DOWN, waited=False))
    if was_up:
        # Closed: this node itself ended the link, with its last mirror over it.
        severity = Severity.INFORMATION if event.reason is LinkLoss.CLOSED else Severity.WARNING
        turn.notify_of_peer(severity, Message.LINK_LOST, event.peer, event.reason)
    for vdisk in turn.with_peer(event.peer):
        _lose(turn, turn.put(replace(vdisk, offer=None)), was_up=was_up)


def _lose(turn: Turn, vdisk: VDisk, *, was_up: bool) -> None:
    attachment = vdisk.attachment
    if vdisk.phase in {Phase.IN_SYNC, Phase.SWITCHING}:
        _decide(turn, vdisk)
    elif vdisk.phase is Phase.DECIDING and was_up:
        apply_checks(turn, vdisk)
    elif vdisk.phase is Phase.SOURCE:
        # Whether the peer still knows that it is behind comes with `held`; the timer is for an engine that stays silent.
        turn.start_timer(TimerKind.SETTLE, vdisk.name, turn.state.settings.settle_ms)
    elif vdisk.phase is Phase.TARGET:
        _lose_source(turn, vdisk)
    elif attachment is not None:
        _lose_attach(turn, vdisk, attachment)
    elif vdisk.phase is Phase.LEAVING:
        turn.warn(Message.HAND_OVER_FAILED, vdisk)
        turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING)
    elif vdisk.phase is Phase.FAILED:
        turn.emit(StopServing(vdisk.name, NotReady.UNAVAILABLE))


def _decide(turn: Turn, vdisk: VDisk) -> None:
    """Hold I/O and let the checks, or the peer's facts if the link is up, decide. A stopping node decides nothing more."""
    if turn.state.stopping:
        turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING)
        return
    moved = turn.enter(vdisk, Phase.DECIDING)
    if turn.link_up(moved):
        turn.start_timer(TimerKind.SETTLE, moved.name, turn.state.settings.settle_ms)
        attaching.consider(turn, moved)
    else:
        apply_checks(turn, moved)


def _lose_source(turn: Turn, vdisk: VDisk) -> None:
    turn.warn(Message.RESYNC_INTERRUPTED, vdisk)
    turn.serve_nothing(vdisk, Phase.PEER_WAIT, NotReady.STANDBY)


def _lose_attach(turn: Turn, vdisk: VDisk, attachment: Attachment) -> None:
    """Fall back from an attach cut short; the peer's engine may have completed its side.

    A copy that was to receive must not take over: the peer may serve as the source already. One that was in sync before
    and was not to receive still holds everything that was acknowledged, so the checks decide.
    """
    if vdisk.phase is Phase.REJOINING:
        turn.enter(vdisk, Phase.ALONE)
    elif attachment.origin in {Phase.DECIDING, Phase.SWITCHING} and not attachment.sync.receives:
        role = Role.UNKNOWN if attachment.origin is Phase.SWITCHING else attachment.role
        _decide(turn, replace(vdisk, role=role))
    else:
        phase = Phase.LEFT if turn.state.stopping else Phase.PEER_WAIT
        turn.serve_nothing(vdisk, phase, NotReady.STANDBY)


def on_held(turn: Turn, event: Held) -> None:
    """Act on the loss of one attached copy's peer, with or without its link."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None:
        return
    if vdisk.phase in {Phase.SOURCE, Phase.DECIDING} and event.peer_outdated:
        turn.warn(Message.RESYNC_INTERRUPTED, vdisk)
        go_alone(turn, vdisk, fenced=False)
    elif vdisk.phase in {Phase.IN_SYNC, Phase.SOURCE, Phase.SWITCHING}:
        _decide(turn, vdisk)
    elif vdisk.phase is Phase.TARGET:
        _lose_source(turn, vdisk)


def on_peer_left(turn: Turn, event: PeerLeft) -> None:
    """Go on at once if this copy is current."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None:
        return
    if turn.state.stopping:
        if vdisk.phase is Phase.SWITCHING:
            turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING)
    elif vdisk.phase in {Phase.IN_SYNC, Phase.SWITCHING, Phase.DECIDING, Phase.SOURCE}:
        turn.notify(Severity.INFORMATION, Message.PEER_HANDED_OVER, vdisk)
        go_alone(turn, vdisk, fenced=True)
    elif vdisk.phase is Phase.TARGET:
        _lose_source(turn, vdisk)


def on_settle_over(turn: Turn, vdisk: VDisk) -> None:
    """Facts, or the engine's word, did not come in time: stop holding I/O, or let the checks decide."""
    if vdisk.phase is Phase.SOURCE and not turn.link_up(vdisk):
        _decide(turn, vdisk)
    elif vdisk.phase is Phase.DECIDING and turn.link_up(vdisk):
        turn.emit(StopServing(vdisk.name, NotReady.TRANSITIONING))
