"""New generation ids for one decision: drawn from a seed that the shell drew, so that deciding stays pure.

Rule: the shell gives every decision a seed of its own, from a good random source; a seed is never used twice.
"""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class FreshIds:
    """The ids that one decision may use."""

    seed: bytes
    """At least 16 random bytes."""

    def generation(self, vdisk: str) -> int:
        """Return this decision's new generation for a VDisk: 64 bits, never 0, the same for the same arguments."""
        digest = blake2b(vdisk.encode(), key=self.seed[:64], digest_size=8).digest()
        return int.from_bytes(digest, "big") or 1
