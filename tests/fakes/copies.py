"""The fake engine's copies: one JSON file each, and what an open one does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twindisk.errors import EngineCorruptError, EngineNotFoundError

if TYPE_CHECKING:
    from twindisk._native import Admission, CopyFacts

COPY_FILE = "copy.json"
EVERYONE: Admission = {"initiators": [], "users": [], "own": None}


@dataclass
class FakeCopy:
    """One copy: what it durably knows, and what it does now."""

    directory: Path
    serial: str
    size_bytes: int
    current: int
    role: str
    base: int = 0
    epoch: int = 0
    inconsistent: bool = False
    active: int = 0
    dirty: int = 0
    seq: int = 1
    unbroken: bool = False

    def save(self) -> None:
        kept = {key: value for key, value in asdict(self).items() if key not in ("directory", "unbroken")}
        (self.directory / COPY_FILE).write_text(json.dumps(kept))

    @classmethod
    def load(cls, directory: Path) -> FakeCopy:
        try:
            return cls(directory=directory, **json.loads((directory / COPY_FILE).read_text()))
        except FileNotFoundError:
            raise EngineNotFoundError("no copy is there") from None
        except ValueError:
            raise EngineCorruptError("both metadata slots are corrupt") from None

    def facts(self) -> CopyFacts:
        return {
            "current": self.current,
            "base": self.base,
            "epoch": self.epoch,
            "role": self.role,
            "inconsistent": self.inconsistent,
            "lineage": [],
            "ending": False,
            "active": self.active,
            "dirty": self.dirty,
            "size_bytes": self.size_bytes,
            "seq": self.seq,
            "unbroken": self.unbroken,
        }


@dataclass
class FakeOpen:
    """An open VDisk. ``mode``: single | attached | alone | held | left, or a NOT READY state."""

    name: str
    copy: FakeCopy
    iqn: str
    group_tag: int
    peer: str | None
    block_bytes: int
    access: str = "active-active"
    mode: str = "transitioning"
    sync: str = "none"
    plan: dict[str, Any] | None = None
    sessions: list[dict[str, Any]] = field(default_factory=list)
    admission: Admission = field(default_factory=lambda: EVERYONE)
