"""The fake engine's paths to peers: up with the link, each down and up again when a test says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class FakePaths:
    """The part of ``twindisk._native.Engine`` that knows paths. A path is this node's address and the peer's."""

    def __init__(self) -> None:
        self.paths: dict[str, tuple[tuple[str, str], ...]] = {}
        self.connections: dict[str, int] = {}
        self.broken_paths: set[tuple[str, str]] = set()

    def tell(self, kind: str, **fields: Any) -> None:
        raise NotImplementedError

    def lay_paths(self, peer: str, paths: Sequence[tuple[str, str]], connections: int) -> None:
        self.paths[peer] = tuple(paths)
        self.connections[peer] = connections

    def paths_of(self, peer: str, *, up: bool) -> list[dict[str, Any]]:
        seen = []
        for own, theirs in self.paths[peer]:
            carries = up and (own, theirs) not in self.broken_paths
            connections = self.connections[peer] if carries else 0
            seen.append({"own": own, "theirs": theirs, "up": carries, "connections": connections, "sent_bytes": 0})
        return seen

    def break_path(self, peer: str, own: str, theirs: str) -> None:
        """Have a path of a link that is up go down."""
        self.broken_paths.add((own, theirs))
        self.tell("path_down", peer=peer, own=own, theirs=theirs)

    def mend_path(self, peer: str, own: str, theirs: str) -> None:
        """Have it come back."""
        self.broken_paths.remove((own, theirs))
        self.tell("path_up", peer=peer, own=own, theirs=theirs)
