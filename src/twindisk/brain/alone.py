"""Going on without the peer: the one way to it, and its confirmation.

Rules:

1. Every path to serving alone ends in :func:`go_alone`; the copy must be usable.
2. A node counts as alone only when the engine confirmed it; facts exchanged before that are stale and dropped.
"""

from dataclasses import replace

from twindisk.brain import attaching
from twindisk.brain.effects import GoAlone, Message, NotReady, Severity, StopServing
from twindisk.brain.events import Alone
from twindisk.brain.model import CopyFacts, Fault, Role, VDisk
from twindisk.brain.phases import SERVING, Phase
from twindisk.brain.turn import Turn


def go_alone(turn: Turn, vdisk: VDisk, *, fenced: bool) -> None:
    """Tell the engine to serve without the peer. ``fenced``: the peer is known to serve nothing."""
    if not vdisk.facts.usable:
        turn.invalidate(vdisk, Fault.UNUSABLE)
        return
    facts = _facts_alone(vdisk.facts, turn.fresh.generation(vdisk.name))
    if vdisk.role is not Role.MASTER and vdisk.phase is not Phase.SINGLE:
        turn.warn(Message.SWITCHING_TO_MASTER, vdisk)
    turn.enter(replace(vdisk, facts=facts, role=Role.MASTER, offer=None), Phase.GOING_ALONE)
    turn.emit(GoAlone(vdisk=vdisk.name, generation=turn.fresh.generation(vdisk.name), epoch=facts.epoch, fenced=fenced))


def _facts_alone(facts: CopyFacts, generation: int) -> CopyFacts:
    """Return the facts as the engine will make them durable."""
    alone = replace(facts, epoch=facts.epoch + 1, role=Role.MASTER, ending=False)
    if facts.peer_outdated:
        return alone
    if facts.base == 0:
        return replace(alone, base=facts.current, current=generation)
    return replace(alone, lineage=(*facts.lineage, facts.current), current=generation)


def on_alone(turn: Turn, event: Alone) -> None:
    """Serve alone from now on; if the peer is back already, attach it."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None:
        return
    if vdisk.phase is not Phase.GOING_ALONE:
        turn.unexpected(vdisk, "alone")
        if vdisk.phase not in SERVING and vdisk.phase is not Phase.LEFT:
            turn.emit(StopServing(vdisk.name, NotReady.UNAVAILABLE))
        return
    if event.released:
        turn.log(Severity.WARNING, Message.TAKEOVER_CONTINUES, vdisk, str(event.released))
    attaching.consider(turn, turn.enter(vdisk, Phase.ALONE))
