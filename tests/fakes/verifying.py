"""The fake engine's verifications: begun and ended by the tests, for there are no data to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twindisk.errors import EngineRefusedError

if TYPE_CHECKING:
    from fakes.copies import FakeOpen


class FakeVerifying:
    """The part of ``twindisk._native.Engine`` that verifies."""

    def __init__(self) -> None:
        self.verified: dict[str, dict[str, Any]] = {}
        self.pace: object = None

    def _open(self, name: str) -> FakeOpen:
        raise NotImplementedError

    def tell(self, kind: str, **fields: Any) -> None:
        raise NotImplementedError

    def verify(self, name: str, *, repair: str | None) -> None:
        vdisk = self._open(name)
        if vdisk.mode != "attached" or vdisk.copy.role != "master":
            raise EngineRefusedError("not possible in this mode", name)
        numbers = dict.fromkeys(("done_bytes", "compared_bytes", "differing_bytes", "repaired_bytes"), 0)
        total = {"total_bytes": vdisk.copy.size_bytes}
        self.verified[name] = {
            "state": "running",
            "repair": repair,
            "ranges": [],
            "truncated": False,
            **total,
            **numbers,
        }

    def end_verify(self, name: str) -> None:
        self._open(name)
        if self.verified.get(name, {}).get("state") != "running":
            raise EngineRefusedError("not possible in this mode", name)
        self.verification_ends(name, state="cancelled")

    def set_pace(self, *, min_bytes_per_s: int, max_bytes_per_s: int | None, latency_ms: int) -> None:
        self.pace = (min_bytes_per_s, max_bytes_per_s, latency_ms)

    def verification_ends(self, name: str, **found: Any) -> None:
        """End a verification with what it found."""
        self.verified[name].update(found)
        self.tell("verified", vdisk=name, **self.verified[name])
