"""Blocks that lie apart from those that everybody writes all the time: each is written by one command, once.

What a few busy blocks hold is written again soon, and marked anew, whatever the mirror forgot of it. Of a cold block nobody speaks any
more once its command is over: what is forgotten of it stays forgotten until somebody compares. At first they hold zeros.
"""

import random

from twindisk.sim.disk import BLOCK, EXTENT

_COUNT = 200
"""Cold blocks of each VDisk, at most."""
_EXTENTS = 8
"""Extents of the activity log that they lie in, at most, since a crash makes the resync look at all of each."""
_PARTS = (0.02, 0.1, 0.4)
"""Of all reads and writes; one is drawn for each run."""


class Cold:
    """The cold blocks of one run."""

    def __init__(self, rng: random.Random, serials: list[str], size_bytes: int, busy: list[int]) -> None:
        self.part = rng.choice(_PARTS)
        """The part of all reads and writes that go to cold blocks."""
        total, long = size_bytes // BLOCK, EXTENT // BLOCK
        extents = [rng.randrange(-(-total // long)) for _ in range(_EXTENTS)]
        drawn = {rng.choice(extents) * long + rng.randrange(long) for _ in range(_COUNT)}
        numbers = sorted({number for number in drawn if number < total} - set(busy))
        self._fresh = {serial: rng.sample(numbers, len(numbers)) for serial in serials}
        self.written: dict[str, list[int]] = {serial: [] for serial in serials}
        """Those that a command was sent to, by serial."""
        self._all = frozenset(numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._all

    def take(self, serial: str) -> int | None:
        """Return one that was not written yet, if any is left."""
        if not self._fresh[serial]:
            return None
        number = self._fresh[serial].pop()
        self.written[serial].append(number)
        return number
