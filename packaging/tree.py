"""The files of a package, laid out below a staging directory as they will lie below ``/``.

Every file gets its mode here, whatever the umask; every time stamp is the one given, so that two builds of one commit are
equal.
"""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

FILE_MODE = 0o644
PROGRAM_MODE = 0o755
FOLDER_MODE = 0o755


class Tree:
    """A staging directory. Paths are given as they will be on the system, such as ``/usr/bin/qsync``."""

    def __init__(self, root: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        self.root = root

    def at(self, path: str) -> Path:
        """Return where a path of the system lies in the staging directory; its folder is made."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def folder(self, path: str, mode: int = FOLDER_MODE) -> None:
        """Make a folder."""
        place = self.at(path)
        place.mkdir(exist_ok=True)
        place.chmod(mode)

    def write(self, path: str, text: str, mode: int = FILE_MODE) -> None:
        """Write a text file."""
        place = self.at(path)
        place.write_text(text, encoding="utf-8")
        place.chmod(mode)

    def compressed(self, path: str, text: str) -> None:
        """Write a text file compressed by gzip; ``.gz`` is added to its name."""
        place = self.at(path + ".gz")
        place.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))
        place.chmod(FILE_MODE)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self.at(path).symlink_to(target)

    def settle(self, epoch_s: int, modes_kept: frozenset[str] = frozenset()) -> None:
        """Give everything its mode (but to the paths named) and the time stamp ``epoch_s``."""
        for folder, names, files in os.walk(self.root, topdown=False):
            for name in [*names, *files]:
                place = Path(folder) / name
                if not place.is_symlink() and f"/{place.relative_to(self.root)}" not in modes_kept:
                    runnable = place.is_dir() or place.stat().st_mode & 0o100
                    place.chmod(PROGRAM_MODE if runnable else FILE_MODE)
                os.utime(place, (epoch_s, epoch_s), follow_symlinks=False)
        self.root.chmod(FOLDER_MODE)
        os.utime(self.root, (epoch_s, epoch_s))

    def size_kib(self) -> int:
        """Return how much the files take once installed."""
        return sum(-(-place.lstat().st_size // 1024) for place in self.root.rglob("*") if not place.is_dir())
