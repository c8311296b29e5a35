"""What this node remembers of its unbroken copies from one process to the next: a small file per VDisk.

Rules:

* What a copy was answered and has not flushed is in the kernel's memory: it outlives the process and ends with the machine's
  power. So a mark names the boot in which it was made (``/proc/sys/kernel/random/boot_id``) and counts in that boot only.
* It names the copy's generation too: it says nothing of a copy that has another one now.
* A mark that is missing or cannot be read says nothing. None is flushed: what loses it makes it void.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class UnbrokenMarks:
    """The marks below a directory, which is made when the first is set. ``boot``: a word that no other boot has."""

    def __init__(self, directory: Path, boot: str) -> None:
        self._directory = directory
        self._boot = boot

    def set(self, serial: str, generation: int) -> None:
        """Remember that the copy is unbroken with this generation. Raises OSError."""
        self._directory.mkdir(exist_ok=True)
        new = self._directory / f"{serial}.new"
        new.write_text(f"{self._boot} {generation:016x}\n", "ascii")
        new.replace(self._directory / serial)

    def clear(self, serial: str) -> None:
        """Forget it. Raises OSError."""
        (self._directory / serial).unlink(missing_ok=True)

    def generation(self, serial: str) -> int | None:
        """Return the generation with which the copy was unbroken, if this machine has run without a break since."""
        try:
            boot, generation = (self._directory / serial).read_text("ascii").split()
            return int(generation, 16) if boot == self._boot else None
        except (OSError, ValueError):
            return None
