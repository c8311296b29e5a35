"""What the fake engine knows of copies that parted: tests say what was written, for there are no data."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from twindisk.errors import EngineRefusedError

if TYPE_CHECKING:
    from fakes.copies import FakeOpen


class FakeParting:
    """The part of ``twindisk._native.Engine`` that tells copies apart. ``written``: by VDisk, what each chunk holds."""

    def __init__(self) -> None:
        self.written: dict[str, dict[int, str]] = {}

    def _open(self, name: str) -> FakeOpen:
        raise NotImplementedError

    def suspects(self, name: str, *, first_extent: int, limit: int) -> list[tuple[int, int]]:
        if self._open(name).mode == "attached":
            raise EngineRefusedError("not possible in this mode", name)
        words: dict[int, int] = {}
        for chunk in self.written.get(name, {}):
            words[chunk // 64] = words.get(chunk // 64, 0) | 1 << chunk % 64
        return sorted((extent, bits) for extent, bits in words.items() if extent >= first_extent)[:limit]

    def chunk_hashes(self, name: str, chunks: list[int]) -> list[bytes]:
        self._open(name)
        held = self.written.get(name, {})
        return [hashlib.blake2s(held.get(chunk, "").encode()).digest() for chunk in chunks]
