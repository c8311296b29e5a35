"""A raw block device over a sparse file."""

import subprocess
from pathlib import Path


class LoopDevice:
    """A loop device, attached from its making until ``detach``."""

    def __init__(self, file: Path, size_bytes: int) -> None:
        with file.open("wb") as sparse:
            sparse.truncate(size_bytes)
        self.path = Path(_losetup("--find", "--show", str(file)).strip())

    def detach(self) -> None:
        """Detach it; while a dying machine still has it mounted the kernel does so afterwards."""
        _losetup("--detach", str(self.path))


def detach_all_under(directory: Path) -> None:
    """Detach the loop devices whose files are under a directory."""
    for line in _losetup("--list", "--noheadings", "--output", "NAME,BACK-FILE").splitlines():
        name, _, file = line.partition(" ")
        if Path(file.strip()).is_relative_to(directory):
            _losetup("--detach", name)


def _losetup(*words: str) -> str:
    return subprocess.run(["losetup", *words], capture_output=True, text=True, timeout=30, check=True).stdout
