"""From both sides' facts to an attached pair, a resync's end, and the attach after a switch of roles.

Rules:

1. An attach is told only on the basis of one exchange of facts, the newest, over a link that is up; the engine checks by
   their sequence numbers that it still holds.
2. A refused attach falls back to the phase it came from. Newer facts are tried at once, the same ones after a pause.
3. A node that serves alone goes on serving while it attaches, and attaches only as Master.
4. An attach waits until both nodes know each other's checks, for a bounded time (:mod:`twindisk.brain.exchange`).
5. Facts that arrive while the copy is attached, or is about to be, wait for what explains them.
"""

from dataclasses import replace

from twindisk.brain.effects import Attach, Leave, Message, NotReady, Severity, StopServing, TimerKind
from twindisk.brain.events import Attached, AttachRefused, PeerFacts, Resynced, Switching
from twindisk.brain.generations import AttachPlan, Mismatch, pair_plan
from twindisk.brain.model import Attachment, CopyFacts, Fault, Offer, Role, Sync, VDisk
from twindisk.brain.phases import APART, ATTACHED, AWAITS_FACTS, SERVING, Phase
from twindisk.brain.turn import Turn

_CURABLE = frozenset({Fault.SPLIT_BRAIN, Fault.UNRELATED, Fault.NO_GOOD_COPY, Fault.SIZE_DIFFERS})
"""Faults that other facts can end: the peer's copy was replaced, grown, or made anew."""

_DEAF = frozenset({Phase.SINGLE, Phase.FAILED, Phase.LEAVING, Phase.LEFT})

_FALLBACK_ROLE = {
    Phase.PEER_WAIT: Role.UNKNOWN,
    Phase.STOPPED: Role.SLAVE,
    Phase.SWITCHING: Role.UNKNOWN,
    Phase.ALONE: Role.MASTER,
}
"""Role after a refused attach; a DECIDING copy keeps the planned one."""


def on_facts(turn: Turn, event: PeerFacts) -> None:
    """Keep the newest facts and attach if the phase waits for them.

    To a copy that goes on alone, or did, facts that do not show it are from before, and stale.
    """
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None or vdisk.phase in _DEAF:
        return
    if vdisk.phase in APART and not event.local.peer_outdated:
        return
    if vdisk.phase is Phase.GOING_ALONE and event.local.epoch < vdisk.facts.epoch:
        return
    consider(turn, turn.put(replace(vdisk, facts=event.local, offer=Offer(event.local, event.remote))))


def consider(turn: Turn, vdisk: VDisk) -> None:
    """Attach, or find that the copies do not fit, if there are facts and the phase waits for them.

    While an attach is under way only a misfit counts: the peer will not answer the attach then.
    """
    if vdisk.offer is None or vdisk.peer is None or not turn.link_up(vdisk):
        return
    if vdisk.phase not in AWAITS_FACTS and vdisk.attachment is None:
        return
    if vdisk.phase is Phase.INVALID and vdisk.fault not in _CURABLE:
        return
    plan = pair_plan(vdisk.offer.local, vdisk.offer.remote, local_first=turn.state.address < vdisk.peer)
    if isinstance(plan, Mismatch):
        _refuse(turn, vdisk, plan.fault, vdisk.offer)
    elif vdisk.phase in APART and plan.role is not Role.MASTER:
        _refuse(turn, vdisk, Fault.SPLIT_BRAIN, vdisk.offer)
    elif vdisk.attachment is None and turn.peer(vdisk.peer).may_attach:
        _attach(turn, vdisk, plan, vdisk.offer)


def _refuse(turn: Turn, vdisk: VDisk, fault: Fault, offer: Offer) -> None:
    """Serve nothing, unless this node serves alone and the peer's copy shows that it cannot."""
    if vdisk.phase is Phase.INVALID and vdisk.fault is fault:
        return
    message = Message.SPLIT_BRAIN if fault is Fault.SPLIT_BRAIN else Message.COPIES_MISMATCH
    turn.notify(Severity.ERROR, message, vdisk, fault)
    if vdisk.phase in APART and offer.remote.base == 0 and fault is not Fault.SPLIT_BRAIN:
        return
    turn.invalidate(vdisk, fault)


def _attach(turn: Turn, vdisk: VDisk, plan: AttachPlan, offer: Offer) -> None:
    generation = turn.fresh.generation(vdisk.name) if plan.sync.sends else 0
    attachment = Attachment(
        role=plan.role, sync=plan.sync, epoch=plan.epoch, generation=generation, offer=offer, origin=vdisk.phase
    )
    phase = Phase.REJOINING if vdisk.phase is Phase.ALONE else Phase.ATTACHING
    turn.enter(replace(vdisk, attachment=attachment, role=plan.role), phase)
    turn.emit(
        Attach(
            vdisk=vdisk.name,
            role=plan.role,
            sync=plan.sync,
            epoch=plan.epoch,
            generation=generation,
            local_seq=offer.local.seq,
            remote_seq=offer.remote.seq,
        )
    )


def on_attached(turn: Turn, event: Attached) -> None:
    """Mirror from now on; a stopping node hands over at once, a failed disk too."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None:
        return
    if vdisk.phase is Phase.FAILED:
        turn.emit(Leave(vdisk.name))
        return
    attachment = vdisk.attachment
    if attachment is None:
        _attached_unasked(turn, vdisk, event)
    elif event.role is not attachment.role or event.sync not in {attachment.sync, Sync.NONE}:
        turn.unexpected(vdisk, "attached")
        turn.invalidate(vdisk, Fault.UNRELATED)
    else:
        facts = _facts_attached(attachment, event.sync)
        attached = replace(vdisk, facts=facts, role=attachment.role, attached_epoch=attachment.epoch)
        _mirror(turn, attached, event.sync)
        if attachment.origin is Phase.SWITCHING:
            turn.notify(Severity.INFORMATION, Message.ROLES_SWITCHED, vdisk, attachment.role)


def _attached_unasked(turn: Turn, vdisk: VDisk, event: Attached) -> None:
    """Follow the engine where it is safe, else tell it again to serve nothing.

    An attach may reach the engine after the link broke and came back, and hold there, while the news of the break makes the
    brain give it up. A copy that serves alone may mirror as Master at any time.
    """
    turn.unexpected(vdisk, "attached")
    may_follow = vdisk.phase is Phase.ALONE and turn.link_up(vdisk)
    if may_follow and event.role is Role.MASTER and not event.sync.receives:
        settled = replace(vdisk.facts, base=0, lineage=()) if event.sync is Sync.NONE else vdisk.facts
        _mirror(turn, replace(vdisk, facts=settled), event.sync)
    elif vdisk.phase not in SERVING and vdisk.phase is not Phase.LEFT:
        turn.emit(StopServing(vdisk.name, NotReady.UNAVAILABLE))


def _mirror(turn: Turn, vdisk: VDisk, sync: Sync) -> None:
    phase = Phase.SOURCE if sync.sends else Phase.TARGET if sync.receives else Phase.IN_SYNC
    moved = turn.enter(replace(vdisk, offer=None), phase)
    message = Message.PEER_CONNECTED if sync is Sync.NONE else Message.RESYNC_STARTED
    turn.notify(Severity.INFORMATION, message, moved)
    if turn.state.stopping:
        turn.hand_over(moved, Phase.LEAVING)


def _facts_attached(attachment: Attachment, sync: Sync) -> CopyFacts:
    """Return the facts as the engine made them durable."""
    before = attachment.offer.local
    facts = replace(before, epoch=attachment.epoch, role=attachment.role)
    if sync is Sync.NONE:
        return replace(facts, base=0, lineage=(), ending=False, inconsistent=False)
    if sync.receives:
        # Not usable until the resync ends; then it holds the source's data, of a generation the engine knows.
        return replace(facts, current=attachment.offer.remote.current, inconsistent=True)
    if before.peer_outdated:
        return facts
    if before.base == 0:
        return replace(facts, base=before.current, current=attachment.generation)
    lineage = (*before.lineage, before.current)
    return replace(facts, lineage=lineage, current=attachment.generation, ending=False)


def on_refused(turn: Turn, event: AttachRefused) -> None:
    """Fall back; the engines exchange facts anew."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is not None:
        refused(turn, vdisk, event.reason)


def refused(turn: Turn, vdisk: VDisk, reason: str) -> None:
    """Undo an attach that did not come about."""
    attachment = vdisk.attachment
    if attachment is None:
        return
    turn.log(Severity.INFORMATION, Message.ATTACH_REFUSED, vdisk, reason)
    if turn.state.stopping:
        turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING)
        return
    origin = Phase.PEER_WAIT if attachment.origin is Phase.INVALID else attachment.origin
    role = _FALLBACK_ROLE.get(origin, attachment.role)
    back = turn.enter(replace(vdisk, role=role), origin)
    if back.offer != attachment.offer:
        consider(turn, back)
    else:
        turn.start_timer(TimerKind.ATTACH_RETRY, vdisk.name, turn.state.settings.attach_retry_ms)
    if back.phase is Phase.DECIDING:
        turn.start_timer(TimerKind.SETTLE, vdisk.name, turn.state.settings.settle_ms)


def on_resynced(turn: Turn, event: Resynced) -> None:
    """Both copies are equal."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None:
        return
    if vdisk.phase not in {Phase.SOURCE, Phase.TARGET} or not turn.link_up(vdisk):
        turn.unexpected(vdisk, "resynced")
        return
    facts = replace(vdisk.facts, base=0, lineage=(), ending=False, inconsistent=False)
    moved = turn.enter(replace(vdisk, facts=facts), Phase.IN_SYNC)
    turn.notify(Severity.INFORMATION, Message.RESYNC_ENDED, moved)


def on_switching(turn: Turn, event: Switching) -> None:
    """Roles are swapped durably; attach anew as soon as facts are there."""
    vdisk = turn.mirrored(event.vdisk)
    if vdisk is None:
        return
    if vdisk.phase is Phase.IN_SYNC:
        facts = replace(vdisk.facts, epoch=vdisk.facts.epoch + 1)
        vdisk = turn.enter(replace(vdisk, facts=facts, role=Role.UNKNOWN), Phase.SWITCHING)
    if vdisk.phase is Phase.SWITCHING:
        consider(turn, vdisk)
    elif vdisk.phase not in ATTACHED:
        turn.unexpected(vdisk, "switching")
