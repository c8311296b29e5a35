"""Copies that are opened and closed, and mirrors that are made and ended.

Rules:

1. A node that starts never fences. Surely current (it went on alone and the peer has not caught up): it waits a short time for
   its peer, then serves alone. Anything else waits for the peer, whatever the checks say. One that had parted from its peer's copy
   waits for operators.
2. A new mirror's sending side goes on serving: its peer's copy is blank and cannot serve.
3. When a mirror ends, a copy is served under the pair's identity only on the node where the operator ended it, and only if
   that node was serving, is surely current, or stood in a mismatch that the operator so resolves. Else it is withheld.
"""

from dataclasses import replace

from twindisk.brain import claiming
from twindisk.brain.alone import go_alone
from twindisk.brain.effects import Message, NotReady, ServeSingle, StopServing
from twindisk.brain.events import MirrorConfigured, MirrorRemoved, VDiskClosed, VDiskOpened
from twindisk.brain.model import Fault, Link, PeerAddress, Role, VDisk
from twindisk.brain.phases import APART, ATTACHED, Phase
from twindisk.brain.turn import Turn

_RESOLVED_BY_REMOVAL = frozenset({Fault.SPLIT_BRAIN, Fault.UNRELATED, Fault.SIZE_DIFFERS, Fault.NO_GOOD_COPY})
_ENDING_OR_FAILED = frozenset({Phase.FAILED, Phase.LEAVING, Phase.LEFT})


def on_opened(turn: Turn, event: VDiskOpened) -> None:
    """Begin with a copy, or begin anew if it was opened again."""
    _know(turn, event.peer)
    before = turn.vdisk(event.vdisk)
    if before is not None:
        claiming.end(turn, before)
    vdisk = VDisk(
        name=event.vdisk,
        peer=event.peer,
        phase=Phase.PEER_WAIT,
        role=Role.UNKNOWN,
        facts=event.facts,
        since_ns=turn.now_ns,
    )
    if turn.state.stopping:
        turn.admit(replace(vdisk, phase=Phase.LEFT))
    elif event.peer is not None and event.parted:
        turn.admit(replace(vdisk, phase=Phase.INVALID, fault=Fault.SPLIT_BRAIN))
        turn.emit(StopServing(event.vdisk, NotReady.UNAVAILABLE))
    elif event.peer is not None:
        turn.admit(vdisk)
    elif event.withheld or not event.facts.usable:
        fault = Fault.WITHHELD if event.withheld else Fault.UNUSABLE
        turn.admit(replace(vdisk, phase=Phase.INVALID, fault=fault))
        turn.emit(StopServing(event.vdisk, NotReady.UNAVAILABLE))
    else:
        turn.admit(replace(vdisk, phase=Phase.SINGLE, role=Role.MASTER))
        turn.emit(ServeSingle(event.vdisk))


def on_closed(turn: Turn, event: VDiskClosed) -> None:
    """Forget a VDisk."""
    vdisk = turn.vdisk(event.vdisk)
    if vdisk is not None:
        claiming.end(turn, vdisk)
    turn.remove(event.vdisk)


def on_startup_wait_over(turn: Turn, vdisk: VDisk) -> None:
    """Serve alone: the peer had its time to connect. One that is about to attach gets all the time it needs."""
    if vdisk.phase is Phase.PEER_WAIT and vdisk.facts.surely_current:
        turn.warn(Message.STARTED_ALONE, vdisk)
        go_alone(turn, vdisk, fenced=False)


def on_configured(turn: Turn, event: MirrorConfigured) -> None:
    """Give a VDisk its peer. The receiving side's copy must be blank, or its data would be taken for the peer's."""
    _know(turn, event.peer)
    vdisk = turn.vdisk(event.vdisk)
    if vdisk is None or vdisk.peer is not None:
        return
    vdisk = turn.put(replace(vdisk, peer=event.peer, facts=event.facts, offer=None))
    if vdisk.phase in _ENDING_OR_FAILED:
        return
    if event.accepting and event.facts.blank:
        turn.serve_nothing(vdisk, Phase.PEER_WAIT, NotReady.TRANSITIONING)
    elif event.accepting:
        turn.invalidate(vdisk, Fault.NOT_BLANK)
    elif vdisk.phase is Phase.SINGLE:
        go_alone(turn, vdisk, fenced=True)


def on_removed(turn: Turn, event: MirrorRemoved) -> None:
    """End a VDisk's mirror."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None:
        return
    may_serve = not event.by_peer and _may_serve_apart(vdisk, event)
    vdisk = turn.put(replace(vdisk, peer=None, facts=event.facts, offer=None))
    if vdisk.phase is Phase.LEAVING:
        turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING)
    elif vdisk.phase in _ENDING_OR_FAILED:
        return
    elif not event.facts.usable:
        turn.invalidate(vdisk, Fault.UNUSABLE)
    elif may_serve:
        serve_single(turn, vdisk)
    else:
        turn.invalidate(vdisk, Fault.WITHHELD)


def _may_serve_apart(vdisk: VDisk, event: MirrorRemoved) -> bool:
    return (
        vdisk.phase in ATTACHED
        or vdisk.phase in APART
        or event.facts.surely_current
        or vdisk.fault in _RESOLVED_BY_REMOVAL
    )


def serve_single(turn: Turn, vdisk: VDisk) -> None:
    """Serve a VDisk that has no mirror (any more)."""
    turn.enter(replace(vdisk, role=Role.MASTER), Phase.SINGLE)
    turn.emit(ServeSingle(vdisk.name))


def on_serve_single_failed(turn: Turn, vdisk: VDisk) -> None:
    """Count a VDisk that the engine will not serve as failed."""
    if vdisk.phase is Phase.SINGLE:
        turn.warn(Message.COMMAND_FAILED, vdisk, "serve-single")
        turn.serve_nothing(vdisk, Phase.FAILED, NotReady.UNAVAILABLE)


def _know(turn: Turn, address: PeerAddress | None) -> None:
    if address is not None and address not in turn.state.peers:
        turn.put_peer(replace(turn.peer(address), link=Link.DOWN))
