"""The pair plan: from both copies' facts, who is Master and what is copied. Pure and symmetric.

Rules (docs/protocols/brain.md, pair plan):

1. Both nodes compute it from the same two sets of facts, each from its own side; the results mirror each other.
2. A copy that is blank or inconsistent is never Master.
3. A copy that went on alone is never overwritten by one that did not know of it; where neither contains the other, there
   is no plan.
"""

from dataclasses import dataclass

from twindisk.brain.model import CopyFacts, Fault, Role, Sync


@dataclass(frozen=True, slots=True)
class AttachPlan:
    """How this node's copy attaches."""

    role: Role
    """MASTER or SLAVE."""
    sync: Sync
    epoch: int
    """The same on both nodes."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The copies must not attach."""

    fault: Fault


def pair_plan(local: CopyFacts, remote: CopyFacts, *, local_first: bool) -> AttachPlan | Mismatch:
    """Plan the attach of two copies, seen from the local one.

    ``local_first`` breaks a tie between equal copies: true on exactly one of the two nodes (the lower mirror address).
    """
    if local.size_bytes != remote.size_bytes:
        return Mismatch(Fault.SIZE_DIFFERS)
    if not (local.usable or remote.usable):
        return Mismatch(Fault.NO_GOOD_COPY)
    epoch = max(local.epoch, remote.epoch) + 1
    if local.blank or remote.blank:
        return _one_way(local_sends=remote.blank, epoch=epoch, full=True)
    if local.current == remote.current:
        return _equal(local, remote, local_first=local_first, epoch=epoch)
    local_ahead = _ahead(local, remote)
    if local_ahead is not _ahead(remote, local):
        return _one_way(local_sends=local_ahead, epoch=epoch, full=False)
    return Mismatch(_divergence(local, remote))


def _one_way(*, local_sends: bool, epoch: int, full: bool) -> AttachPlan:
    if local_sends:
        return AttachPlan(Role.MASTER, Sync.FULL_SOURCE if full else Sync.SOURCE, epoch)
    return AttachPlan(Role.SLAVE, Sync.FULL_TARGET if full else Sync.TARGET, epoch)


def _equal(local: CopyFacts, remote: CopyFacts, *, local_first: bool, epoch: int) -> AttachPlan | Mismatch:
    """Plan for copies of one generation: what their activity logs or bitmaps name is all that may differ."""
    if local.inconsistent or remote.inconsistent:
        return _one_way(local_sends=remote.inconsistent, epoch=epoch, full=False)
    if local.base != 0 and remote.base != 0:
        return Mismatch(_divergence(local, remote))
    local_is_master = _is_master(local, remote, local_first=local_first)
    if local.active or local.dirty or remote.active or remote.dirty:
        return _one_way(local_sends=local_is_master, epoch=epoch, full=False)
    return AttachPlan(Role.MASTER if local_is_master else Role.SLAVE, Sync.NONE, epoch)


def _is_master(local: CopyFacts, remote: CopyFacts, *, local_first: bool) -> bool:
    """Of two usable copies of one generation: the unbroken one, else the one that was ahead, Master before, of later epoch.

    A node that lost power and is back before its peer could go on alone lacks what was answered and not flushed; so does
    its copy at the end of a resync out of it, if the peer had settled. The peer that ran on has it all.
    """
    if local.peer_outdated != remote.peer_outdated:
        return local.peer_outdated
    if local.unbroken != remote.unbroken:
        return local.unbroken
    if (local.base != 0) != (remote.base != 0):
        return local.base != 0
    if local.role is not remote.role:
        return local.role is Role.MASTER
    if local.epoch != remote.epoch:
        return local.epoch > remote.epoch
    return local_first


def _ahead(one: CopyFacts, other: CopyFacts) -> bool:
    """Whether ``one`` went on alone from what ``other`` holds, and ``other`` has not gone on alone itself."""
    descends = one.usable and one.base != 0 and other.current in (one.base, *one.lineage)
    return descends and (not other.peer_outdated or other.inconsistent)


def _divergence(local: CopyFacts, remote: CopyFacts) -> Fault:
    """Tell two copies that went apart from a common past from two that never had one."""
    if local.base and remote.base and local.usable and remote.usable:
        past = {local.base, local.current, *local.lineage}
        if past & {remote.base, remote.current, *remote.lineage}:
            return Fault.SPLIT_BRAIN
    return Fault.UNRELATED


def names_every_difference(local: CopyFacts, remote: CopyFacts) -> bool:
    """Whether what both copies suspect holds every chunk in which they differ.

    It does for all that an attach would copy by those suspects, and for copies that went on alone from one state.
    """
    if local.blank or remote.blank:
        return False
    plan = pair_plan(local, remote, local_first=True)
    if isinstance(plan, AttachPlan):
        return True
    return plan.fault is Fault.SPLIT_BRAIN and (_parted_at(local, remote) or _parted_at(remote, local))


def _parted_at(one: CopyFacts, other: CopyFacts) -> bool:
    """Whether ``one`` went on alone from a state that ``other`` went on alone from, or passed through with the peer equal."""
    return one.base in (other.base, *other.lineage)
