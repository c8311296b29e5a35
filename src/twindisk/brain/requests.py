"""What the operator asks: to be Master or Slave (``qsync -m``).

Rules:

1. A request either is answered with a refusal and changes nothing, or is begun and answered with none.
2. Roles are switched only between copies that are in sync, by the Master; a Slave has its peer asked.
3. A node that cannot know that its copy is current becomes Master only by force, never while the link to its peer is up,
   and never with an unusable copy. The Slave that waits under the manual check needs no force: the request is the check. While
   a witness is not reached the operator may decide in its place, by force.
"""

from dataclasses import replace

from twindisk.brain.alone import go_alone
from twindisk.brain.checks import acts_by
from twindisk.brain.effects import Answer, AskPeerSwitch, Message, Refusal, SwitchRoles
from twindisk.brain.events import SetRole
from twindisk.brain.model import CheckKind, ClaimStage, Fault, Role, VDisk
from twindisk.brain.phases import Phase
from twindisk.brain.startup import serve_single
from twindisk.brain.turn import Turn

_REFUSED_IN: dict[Phase, Refusal] = {
    Phase.SINGLE: Refusal.NOT_MIRRORED,
    Phase.ATTACHING: Refusal.CHECKS_RUNNING,
    Phase.SWITCHING: Refusal.CHECKS_RUNNING,
    Phase.SOURCE: Refusal.RESYNC_PENDING,
    Phase.TARGET: Refusal.RESYNC_PENDING,
    Phase.GOING_ALONE: Refusal.RESYNC_PENDING,
    Phase.ALONE: Refusal.RESYNC_PENDING,
    Phase.REJOINING: Refusal.RESYNC_PENDING,
    Phase.INVALID: Refusal.INVALID_STATE,
    Phase.FAILED: Refusal.DISK_FAILED,
    Phase.LEAVING: Refusal.STOPPING,
    Phase.LEFT: Refusal.STOPPING,
}
"""Phases in which another role is refused, force or not. The others have rules of their own."""


def on_set_role(turn: Turn, event: SetRole) -> None:
    """Carry out or refuse a request, and answer it."""
    vdisk = turn.vdisk(event.vdisk)
    if vdisk is None:
        turn.emit(Answer(event.request, Refusal.NO_SUCH_VDISK))
        return
    if vdisk.phase is Phase.IN_SYNC and vdisk.role is not Role.MASTER and event.role is Role.MASTER and vdisk.peer:
        turn.emit(AskPeerSwitch(vdisk.name, vdisk.peer, event.request))
        return
    turn.emit(Answer(event.request, _carry_out(turn, vdisk, event)))


def _carry_out(turn: Turn, vdisk: VDisk, event: SetRole) -> Refusal | None:
    if turn.state.stopping:
        return Refusal.STOPPING
    if vdisk.phase is Phase.INVALID and vdisk.fault is Fault.WITHHELD:
        return _serve_withheld(turn, vdisk, event)
    if event.role is vdisk.role and vdisk.phase is not Phase.SINGLE:
        return None
    if vdisk.phase in _REFUSED_IN:
        return _REFUSED_IN[vdisk.phase]
    if vdisk.phase is Phase.IN_SYNC:
        _switch(turn, vdisk)
        return None
    return _take_over(turn, vdisk, event)


def _switch(turn: Turn, vdisk: VDisk) -> None:
    """Begin to swap roles; from here on this node does not count as Master, for the peer may be it at any moment."""
    facts = replace(vdisk.facts, epoch=vdisk.facts.epoch + 1)
    turn.enter(replace(vdisk, facts=facts, role=Role.UNKNOWN), Phase.SWITCHING)
    turn.emit(SwitchRoles(vdisk.name))


def _take_over(turn: Turn, vdisk: VDisk, event: SetRole) -> Refusal | None:
    """Become Master without the peer, from PEER_WAIT, STOPPED or DECIDING."""
    refusal = _why_not_master(turn, vdisk, event)
    if refusal is None and event.role is Role.MASTER:
        asked = vdisk.phase is Phase.DECIDING and vdisk.claim is None
        turn.warn(Message.MANUAL_MASTER if asked else Message.FORCED_MASTER, vdisk)
        go_alone(turn, vdisk, fenced=False)
    return refusal


def _why_not_master(turn: Turn, vdisk: VDisk, event: SetRole) -> Refusal | None:
    if event.role is not Role.MASTER:
        return None if vdisk.role is Role.UNKNOWN else Refusal.CHECKS_RUNNING
    if not vdisk.facts.usable:
        return Refusal.COPY_INCONSISTENT
    if turn.link_up(vdisk):
        return Refusal.PEER_PRESENT
    if vdisk.phase is Phase.DECIDING:
        if vdisk.claim is not None and vdisk.claim.stage is ClaimStage.PAUSED:
            return None if event.force else Refusal.NEEDS_FORCE
        kind = acts_by(turn.peer(vdisk.peer)) if vdisk.peer is not None else None
        return None if kind is CheckKind.MANUAL else Refusal.CHECKS_RUNNING
    return None if event.force else Refusal.NEEDS_FORCE


def _serve_withheld(turn: Turn, vdisk: VDisk, event: SetRole) -> Refusal | None:
    """Serve a copy that outlived its mirror: the operator vouches that the other one is not served."""
    if event.role is not Role.MASTER or vdisk.peer is not None:
        return Refusal.INVALID_STATE
    if not event.force:
        return Refusal.NEEDS_FORCE
    turn.warn(Message.FORCED_MASTER, vdisk)
    serve_single(turn, vdisk)
    return None
