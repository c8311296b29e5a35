"""What a witness keeps, and who wins by it; sans-IO.

A witness keeps *slots* that are written once and never change: for each VDisk, by its serial number, number 1, 2, 3, ... A slot
holds a :class:`Claim`: who wants to go on alone, at which epoch. All that is asked of a witness is to write a slot only if
nobody has, and to tell what is in it (docs/formats/witness.md).

Rules:

1. A node walks the slots from the first. It writes its claim into the first free one, and wins by that.
2. A claim of its own in the way: won, if it is of no older epoch; a node may hear twice of what it wrote once. Else it goes on to
   the next slot.
3. A claim of the peer in the way: lost, unless this node was attached with the peer *after* that claim, which it was exactly
   if the attach has a higher epoch: a claim bears the highest epoch that its owner had a part in. Then the claim is spent,
   whatever became of its owner, and the node goes on to the next slot.

So of two nodes that lost each other at most one wins, however late anything arrives; nobody ever releases a claim; and no clock
and no time limit plays a part. The owner of a spent claim needs a new one too (rule 2): its peer may write over the old.
"""

from dataclasses import dataclass
from enum import StrEnum, unique


@dataclass(frozen=True, slots=True)
class Claim:
    """What stands in a slot."""

    owner: str
    """The mirror address of the node."""
    epoch: int
    """The highest epoch that the owner had a part in when it claimed."""


@unique
class Verdict(StrEnum):
    """What a slot that is taken means to a node."""

    WON = "won"
    LOST = "lost"
    NEXT = "next"


def judge(found: Claim, mine: Claim, attached_epoch: int) -> Verdict:
    """Return what a claim in the way means to the owner of ``mine``, last attached at ``attached_epoch``."""
    if found.owner == mine.owner:
        return Verdict.WON if found.epoch >= mine.epoch else Verdict.NEXT
    return Verdict.NEXT if found.epoch < attached_epoch else Verdict.LOST


@dataclass(slots=True)
class Walk:
    """One node's walk along the slots of a VDisk.

    Whoever drives it writes ``mine`` into ``slot`` if nobody has written there, and says what came of it, until there is a
    verdict. It may be begun anew at any time.
    """

    mine: Claim
    attached_epoch: int
    slot: int = 1

    def skip(self, slot: int, found: Claim) -> None:
        """Begin behind a slot that was spent when this node walked here before, and that holds the same as then: ``found``.

        The slots before it are spent too: each was passed then, and what is spent stays so (rules 2 and 3: epochs only grow).
        """
        if judge(found, self.mine, self.attached_epoch) is Verdict.NEXT:
            self.slot = slot + 1

    def written(self) -> Verdict:
        """Return the verdict: nobody had written into the slot."""
        return Verdict.WON

    def taken(self, found: Claim) -> Verdict:
        """Return the verdict on what is in the slot; NEXT: ``slot`` is now the one to be tried."""
        verdict = judge(found, self.mine, self.attached_epoch)
        if verdict is Verdict.NEXT:
            self.slot += 1
        return verdict
