"""The engine as the node uses it: the protocol that ``twindisk._native.Engine`` and the tests' fake both satisfy.

Calls that may wait for disk or network run in a thread (``asyncio.to_thread``); the engine is safe to call from any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twindisk._native import Admission, CopyFacts


class EnginePort(Protocol):
    """See ``_native.pyi`` for what each method does; this repeats only the shapes."""

    def event_fd(self) -> int:
        """Return the eventfd that becomes readable when there are events."""
        ...

    def take_events(self) -> list[dict[str, Any]]:
        """Take all queued events, oldest first."""
        ...

    def open_portal(self, host: str, port: int, *, redirect: str | None = None, permanent: bool = False) -> int:
        """Listen for initiators."""
        ...

    def listen_mirror(self, host: str, port: int, secret: bytes, *, further: Sequence[str] = ()) -> int:
        """Listen for peers."""
        ...

    def add_peer(
        self, address: str, port: int, *, dial: bool, paths: Sequence[tuple[str, str]] = (), connections: int = 1
    ) -> None:
        """Keep a link with a peer."""
        ...

    def remove_peer(self, address: str) -> None:
        """Forget a peer."""
        ...

    def create_copy(
        self, directory: str, *, serial: str, size_bytes: int, generation: int, role: str, blank: bool
    ) -> None:
        """Make a copy's files."""
        ...

    def delete_copy(self, directory: str) -> None:
        """Remove a copy's files."""
        ...

    def relabel_copy(self, directory: str, *, serial: str, size_bytes: int, generation: int) -> None:
        """Make a copy that is not open that of another VDisk."""
        ...

    def open_vdisk(
        self,
        name: str,
        directory: str,
        *,
        serial: str,
        iqn: str,
        size_bytes: int,
        block_bytes: int,
        group_tag: int,
        peer: str | None,
        admission: Admission | None = None,
        unbroken: int | None = None,
    ) -> CopyFacts:
        """Open a copy, not serving yet."""
        ...

    def close_vdisk(self, name: str) -> None:
        """Close a copy."""
        ...

    def set_peer(self, name: str, peer: str | None, *, group_tag: int) -> None:
        """Set or clear a VDisk's peer."""
        ...

    def set_access(self, name: str, *, access: str) -> None:
        """Set how both nodes' paths are to be used."""
        ...

    def set_admission(self, name: str, *, admission: Admission) -> int:
        """Set which initiators are let in."""
        ...

    def set_discovery(self, *, admission: Admission) -> int:
        """Set who may hold discovery sessions."""
        ...

    def resize_vdisk(self, name: str, size_bytes: int) -> None:
        """Grow a VDisk."""
        ...

    def facts(self, name: str) -> CopyFacts:
        """Return a copy's facts."""
        ...

    def suspects(self, name: str, *, first_extent: int, limit: int) -> list[tuple[int, int]]:
        """Return in which chunks the copy may differ from its peer's."""
        ...

    def chunk_hashes(self, name: str, chunks: list[int]) -> list[bytes]:
        """Return the hashes of chunks as they are now."""
        ...

    def serve_single(self, name: str) -> None:
        """Serve without a mirror."""
        ...

    def attach(
        self, name: str, *, role: str, sync: str, epoch: int, generation: int, local_seq: int, remote_seq: int
    ) -> None:
        """Begin to mirror."""
        ...

    def go_alone(self, name: str, *, generation: int, epoch: int, fenced: bool) -> None:
        """Serve without the peer."""
        ...

    def stop_serving(self, name: str, *, state: str) -> None:
        """Answer NOT READY."""
        ...

    def leave(self, name: str) -> None:
        """Hand over cleanly."""
        ...

    def switch_roles(self, name: str) -> None:
        """Swap Master and Slave."""
        ...

    def verify(self, name: str, *, repair: str | None) -> None:
        """Compare both copies."""
        ...

    def end_verify(self, name: str) -> None:
        """End that before its time."""
        ...

    def set_pace(self, *, min_bytes_per_s: int, max_bytes_per_s: int | None, latency_ms: int) -> None:
        """Set how fast resyncs and verifications may go."""
        ...

    def status(self) -> dict[str, Any]:
        """Return counters and modes."""
        ...

    def shutdown(self) -> None:
        """Close everything."""
        ...
