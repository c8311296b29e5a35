"""What a node remembers of witnesses from one claim to the next, so that a claim takes few steps.

Rules:

1. A hint saves time and decides nothing: it may be missing, old or wrong, and what comes of a claim is the same.
2. A walk begins behind a slot that was spent only if that holds what it held. If the slots were deleted meanwhile (docs/formats/witness.md),
   a walk that begins behind the first free one would let both nodes win.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twindisk.brain.witness import Claim


@dataclass(frozen=True, slots=True)
class Spent:
    """A slot that was spent, and the claim in it."""

    slot: int
    claim: Claim


@dataclass(slots=True)
class Hints:
    """What one node remembers; kept in memory alone."""

    answered: dict[tuple[str, ...], str] = field(default_factory=dict)
    """By the endpoints of an etcd cluster: the one that answered last."""
    spent: dict[tuple[str, str], Spent] = field(default_factory=dict)
    """By the name of a witness and the serial of a VDisk: the last spent slot that was seen."""
