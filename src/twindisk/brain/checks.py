"""The mirror checks: which rules, whether both nodes' go together, and what a node that lost its peer may do by them.

Rules:

1. The strictest kind of check configured for a peer rules alone: fence before witness before manual before ignore. What it
   forbids, no weaker check allows.
2. Both nodes rule by the same kind, fence, manual or the same witness. Anything else may let both go on, or neither, and
   operators are warned of it once, on both nodes, when the link comes up or a check is changed. No check at all is safe: that
   node stops.
3. A witness counts only while this node knows that the peer rules by the same one, and that the peer knows it of this node
   (:func:`shares_witness`). So two nodes never ask two witnesses, whenever their checks are changed.
"""

from dataclasses import replace

from twindisk.brain.alone import go_alone
from twindisk.brain.effects import Message, Notify, NotReady, Severity, StopServing
from twindisk.brain.events import CheckHeard, ChecksChanged, PeerCheckTold
from twindisk.brain.model import Check, CheckKind, Link, Peer, PeerAddress, Role, Rule, VDisk
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


def shares_witness(peer: Peer) -> bool:
    """Whether both nodes rule by the same witness, and each knows it of the other."""
    ours = ruling_rule(peer.checks)
    named = ours is not None and ours.kind is CheckKind.WITNESS and bool(ours.witness)
    return named and peer.heard and peer.their_rule == ours


def deciding(turn: Turn, address: PeerAddress) -> list[VDisk]:
    """Return the VDisks of a peer that wait for a decision, by name."""
    return [vdisk for vdisk in turn.with_peer(address) if vdisk.phase is Phase.DECIDING]


def apply_checks(turn: Turn, vdisk: VDisk) -> None:
    """Decide for a DECIDING VDisk whose link is down; fence and witness decide later, and I/O stays held until then."""
    if vdisk.peer is None:
        return
    peer = turn.peer(vdisk.peer)
    kind = ruling_kind(peer.checks)
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
    elif kind is CheckKind.WITNESS and not shares_witness(peer):
        turn.warn(Message.STOPPED_WITHOUT_SHARED_WITNESS, vdisk)
        turn.serve_nothing(vdisk, Phase.STOPPED, NotReady.STANDBY, Role.SLAVE)


def on_checks_changed(turn: Turn, event: ChecksChanged) -> None:
    """Keep the new list; VDisks that are deciding follow a change of what rules, a running fence runs on."""
    before = turn.peer(event.peer)
    same = ruling_rule(before.checks) == ruling_rule(event.checks)
    turn.put_peer(replace(before, checks=event.checks, heard=before.heard and same))
    _compare(turn, event.peer)
    if not same:
        _follow(turn, event.peer)


def on_peer_check_told(turn: Turn, event: PeerCheckTold) -> None:
    """Keep what rules at the peer."""
    before = turn.peer(event.peer)
    turn.put_peer(replace(before, their_rule=event.rule))
    _compare(turn, event.peer)
    if before.their_rule != event.rule and ruling_kind(before.checks) is CheckKind.WITNESS:
        _follow(turn, event.peer)


def on_check_heard(turn: Turn, event: CheckHeard) -> None:
    """Note that the peer knows what rules here, if that is still what it was told."""
    peer = turn.peer(event.peer)
    if event.rule == ruling_rule(peer.checks):
        turn.put_peer(replace(peer, heard=True))


def _follow(turn: Turn, address: PeerAddress) -> None:
    """Have VDisks that are deciding without their peer decide anew."""
    if turn.peer(address).link is Link.DOWN:
        for vdisk in deciding(turn, address):
            apply_checks(turn, vdisk)


def _compare(turn: Turn, address: PeerAddress) -> None:
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
    if CheckKind.WITNESS in {ours.kind, theirs.kind}:
        message = Message.WITNESS_NOT_SHARED
    detail = f"{ours.kind} here, {another}{theirs.kind} there"
    turn.emit(Notify(severity=Severity.WARNING, message=message, vdisk=None, peer=address, detail=detail))


def _misfit(ours: Rule | None, theirs: Rule | None) -> tuple[Rule, Rule] | None:
    """Return the pair of rules if both nodes may go on after one loss of the link, or a witness is not asked by both.

    fence and manual: a Master under manual goes on, and is then killed with what it wrote alone. ignore: goes on whatever
    the other does. One witness: its node stops, for the other does not ask it.
    """
    if ours is None or theirs is None or (ours == theirs and ours.kind is not CheckKind.IGNORE):
        return None
    return ours, theirs
