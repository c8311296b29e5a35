"""The mirror checks: which rules, whether both nodes' go together, and what a node that lost its peer may do by them.

Rules:

1. The strictest kind of check configured for a peer rules alone: fence before witness before manual before ignore. What it
   forbids, no weaker check allows.
2. A node acts by its check only while the peer is known to know it, the peer's is known here, and that is the same or a weaker
   one (:func:`agreed`); a witness must be the same. Else it stops when it loses the peer. So of two nodes with different
   checks the one with the stricter acts by it, and the other stops: if each acted, each would know the other's for
   the weaker. Two witnesses, of which none is the stricter, stop both nodes.
3. What the peer tells counts only while the link is up. A node that lost its peer, and may have gone on, does not agree to
   another check there; and a change of the check here stops what was waiting for a decision by the old one.
4. Operators are warned once, on both nodes, of checks that differ, and of `ignore` on both, which lets both go on.
"""

from dataclasses import replace

from twindisk.brain.alone import go_alone
from twindisk.brain.effects import Message, Notify, NotReady, Severity, StopServing
from twindisk.brain.model import Check, CheckKind, Peer, PeerAddress, Role, Rule, VDisk
from twindisk.brain.phases import Phase
from twindisk.brain.turn import Turn

_STRICTEST_FIRST = (CheckKind.FENCE, CheckKind.WITNESS, CheckKind.MANUAL, CheckKind.IGNORE)


def ruling_kind(checks: tuple[Check, ...]) -> CheckKind | None:
    """Return the kind of check that rules; None if there is none."""
    kinds = {check.kind for check in checks}
    return next((kind for kind in _STRICTEST_FIRST if kind in kinds), None)


def ruling_rule(checks: tuple[Check, ...]) -> Rule | None:
    """Return what the peer must know of the check that rules; None if there is none."""
    kind = ruling_kind(checks)
    if kind is not CheckKind.WITNESS:
        return None if kind is None else Rule(kind)
    return Rule(kind, witness_of(checks).witness)


def witness_of(checks: tuple[Check, ...]) -> Check:
    """Return the witness among the checks; raise StopIteration if there is none."""
    return next(check for check in checks if check.kind is CheckKind.WITNESS)


def agreed(peer: Peer) -> bool:
    """Whether this node may act by its check when it loses the peer: the peer knows it, and acts by no other."""
    ours, theirs = ruling_rule(peer.checks), peer.their_rule
    if ours is None or not peer.heard or not peer.told:
        return False
    if ours.kind is CheckKind.WITNESS:
        return bool(ours.witness) and ours == theirs
    strictness = _STRICTEST_FIRST.index
    return theirs is None or ours == theirs or strictness(ours.kind) < strictness(theirs.kind)


def acts_by(peer: Peer) -> CheckKind | None:
    """Return the kind of check by which this node acts when it loses the peer; None: it stops."""
    return ruling_kind(peer.checks) if agreed(peer) else None


def deciding(turn: Turn, address: PeerAddress) -> list[VDisk]:
    """Return the VDisks of a peer that wait for a decision, by name."""
    return [vdisk for vdisk in turn.with_peer(address) if vdisk.phase is Phase.DECIDING]


def apply_checks(turn: Turn, vdisk: VDisk) -> None:
    """Decide for a DECIDING VDisk whose link is down; fence and witness decide later, and I/O stays held until then."""
    if vdisk.peer is None:
        return
    peer = turn.peer(vdisk.peer)
    kind = acts_by(peer)
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
        turn.warn(_why_stopped(peer), vdisk)
        turn.serve_nothing(vdisk, Phase.STOPPED, NotReady.STANDBY, Role.SLAVE)


def _why_stopped(peer: Peer) -> Message:
    kind = ruling_kind(peer.checks)
    if kind is None:
        return Message.STOPPED_WITHOUT_CHECKS
    return Message.STOPPED_WITHOUT_SHARED_WITNESS if kind is CheckKind.WITNESS else Message.STOPPED_WITHOUT_AGREEMENT


def knows(peer: Peer, rule: Rule | None) -> bool:
    """Whether this node took what the peer told, and may answer so."""
    return peer.told and peer.their_rule == rule


def stop_deciding(turn: Turn, address: PeerAddress) -> None:
    """Stop VDisks that lost their peer under another check: it may have gone on by that. They still wait for its facts.

    One that is attaching since then falls back to STOPPED.
    """
    for vdisk in list(turn.with_peer(address)):
        if vdisk.phase is Phase.DECIDING:
            turn.warn(_why_stopped(turn.peer(address)), vdisk)
            turn.serve_nothing(vdisk, Phase.STOPPED, NotReady.STANDBY, Role.SLAVE)
        elif vdisk.attachment is not None and vdisk.attachment.origin is Phase.DECIDING:
            turn.put(replace(vdisk, attachment=replace(vdisk.attachment, origin=Phase.STOPPED)))


def compare(turn: Turn, address: PeerAddress) -> None:
    """Warn, once, of checks that do not go together."""
    peer = turn.peer(address)
    found = _misfit(ruling_rule(peer.checks), peer.their_rule)
    if found == peer.warned_of:
        return
    turn.put_peer(replace(peer, warned_of=found))
    if found is None:
        return
    ours, theirs = found
    another = "another " if ours.kind is theirs.kind is CheckKind.WITNESS else ""
    message = Message.CHECKS_MAY_PART
    if ours != theirs:
        message = Message.CHECKS_DIFFER
    detail = f"{ours.kind} here, {another}{theirs.kind} there"
    turn.emit(Notify(severity=Severity.WARNING, message=message, vdisk=None, peer=address, detail=detail))


def _misfit(ours: Rule | None, theirs: Rule | None) -> tuple[Rule, Rule] | None:
    """Return the pair of rules if they differ, or let both nodes go on after one loss of the link."""
    if ours is None or theirs is None or (ours == theirs and ours.kind is not CheckKind.IGNORE):
        return None
    return ours, theirs
