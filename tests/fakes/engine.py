"""A small engine in memory that keeps the promises of ``_native.pyi``: two of them in one process mirror with each other.

No I/O is served. A copy is one JSON file, so that a fake node can be killed and started again on its directory.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from fakes.copies import COPY_FILE, EVERYONE, FakeCopy, FakeOpen
from fakes.parting import FakeParting
from fakes.paths import FakePaths
from fakes.verifying import FakeVerifying
from twindisk.errors import (
    EngineClosedError,
    EngineExistsError,
    EngineInvalidError,
    EngineIoError,
    EngineNotFoundError,
    EngineRefusedError,
)

if TYPE_CHECKING:
    from twindisk._native import Admission, CopyFacts

P = ParamSpec("P")
R = TypeVar("R")


def one_at_a_time(call: Callable[Concatenate[FakeEngine, P], R]) -> Callable[Concatenate[FakeEngine, P], R]:
    """Make a call wait for all others of its world: nodes call their engines from threads."""

    @functools.wraps(call)
    def locked(engine: FakeEngine, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with engine.world.lock:
            return call(engine, *args, **kwargs)

    return locked


class FakeWorld:
    """The network between fake engines. ``auto_resync``: a resync ends as soon as it began."""

    def __init__(self, *, auto_resync: bool = True) -> None:
        self.lock = threading.RLock()
        self.auto_resync = auto_resync
        self.listening: dict[str, FakeEngine] = {}

    def cut(self, one: FakeEngine, other: FakeEngine, reason: str = "silent") -> None:
        """Lose the link between two engines that both live on."""
        one.lose_link(other.mirror_address, reason)
        other.lose_link(one.mirror_address, reason)

    def crash(self, engine: FakeEngine) -> None:
        """End an engine as kill -9 does: its peers see a reset, its copies stay as they are."""
        with self.lock:
            engine.crashed = True
            self.listening.pop(engine.mirror_address, None)
            for address in list(engine.links):
                engine.links.discard(address)
                if address in self.listening:
                    self.listening[address].lose_link(engine.mirror_address, "reset")


class FakeEngine(FakeVerifying, FakeParting, FakePaths):
    """See ``twindisk._native.Engine``."""

    def __init__(self, world: FakeWorld | None = None) -> None:
        FakeVerifying.__init__(self)
        FakeParting.__init__(self)
        FakePaths.__init__(self)
        self.world = world or FakeWorld()
        self.mirror_address = ""
        self.peers: dict[str, bool] = {}
        self.links: set[str] = set()
        self.vdisks: dict[str, FakeOpen] = {}
        self.portals: list[tuple[str, int]] = []
        self.discovery: Admission | None = None
        self.calls: list[tuple[str, Any]] = []
        self.fail: dict[str, Exception] = {}
        self.crashed = False
        self.closed = False
        self._events: list[dict[str, Any]] = []
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def event_fd(self) -> int:
        return self._fd

    def take_events(self) -> list[dict[str, Any]]:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        events, self._events = self._events, []
        return events

    def tell(self, kind: str, **fields: Any) -> None:
        if self.crashed or self.closed:
            return
        self._events.append({"kind": kind, **fields})
        os.eventfd_write(self._fd, 1)

    @one_at_a_time
    def open_portal(self, host: str, port: int, *, redirect: str | None = None, permanent: bool = False) -> int:
        self._note("open_portal", (host, port, redirect, permanent))
        self.portals.append((host, port))
        return port

    @one_at_a_time
    def listen_mirror(self, host: str, port: int, secret: bytes, *, further: Sequence[str] = ()) -> int:
        self._note("listen_mirror", (host, *further))
        if host in self.world.listening:
            raise EngineIoError("bind: address in use", errno=98)
        self.mirror_address = host
        self.world.listening[host] = self
        return port

    @one_at_a_time
    def add_peer(
        self, address: str, port: int, *, dial: bool, paths: Sequence[tuple[str, str]] = (), connections: int = 1
    ) -> None:
        self._note("add_peer", (address, port, dial))
        if address in self.peers:
            raise EngineExistsError("peer is there already", peer=address)
        self.peers[address] = dial
        self.lay_paths(address, ((self.mirror_address, address), *paths), connections)
        self.link_up(address)

    @one_at_a_time
    def remove_peer(self, address: str) -> None:
        self._note("remove_peer", address)
        if self.peers.pop(address, None) is None:
            raise EngineNotFoundError("no such peer", peer=address)
        other = self.world.listening.get(address)
        self.lose_link(address, "closed")
        if other is not None:
            other.lose_link(self.mirror_address, "closed")

    @one_at_a_time
    def create_copy(
        self, directory: str, *, serial: str, size_bytes: int, generation: int, role: str, blank: bool
    ) -> None:
        self._note("create_copy", directory)
        path = Path(directory)
        if (path / COPY_FILE).exists():
            raise EngineExistsError("a copy is there already")
        path.mkdir(exist_ok=True)
        FakeCopy(path, serial, size_bytes, 0 if blank else generation, role).save()

    @one_at_a_time
    def delete_copy(self, directory: str) -> None:
        self._note("delete_copy", directory)
        (Path(directory) / COPY_FILE).unlink()
        Path(directory).rmdir()

    @one_at_a_time
    def relabel_copy(self, directory: str, *, serial: str, size_bytes: int, generation: int) -> None:
        self._note("relabel_copy", directory)
        copy = FakeCopy.load(Path(directory))
        if copy.size_bytes != size_bytes:
            raise EngineInvalidError("the copy has another size")
        FakeCopy(Path(directory), serial, size_bytes, generation, "master").save()

    @one_at_a_time
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
        self._note("open_vdisk", name)
        copy = FakeCopy.load(Path(directory))
        if copy.serial != serial or copy.size_bytes != size_bytes:
            raise EngineInvalidError("the copy has another serial or size", name)
        copy.unbroken = unbroken == copy.current and not copy.inconsistent
        self.vdisks[name] = FakeOpen(name, copy, iqn, group_tag, peer, block_bytes)
        self.vdisks[name].admission = admission or EVERYONE
        self._exchange(name)
        return copy.facts()

    @one_at_a_time
    def close_vdisk(self, name: str) -> None:
        self._note("close_vdisk", name)
        self._open(name)
        del self.vdisks[name]

    @one_at_a_time
    def set_peer(self, name: str, peer: str | None, *, group_tag: int) -> None:
        self._note("set_peer", (name, peer))
        vdisk = self._open(name)
        vdisk.peer, vdisk.group_tag, vdisk.mode, vdisk.plan = peer, group_tag, "transitioning", None
        vdisk.copy.base = vdisk.copy.dirty = vdisk.copy.active = 0
        self._change(vdisk)

    @one_at_a_time
    def set_access(self, name: str, *, access: str) -> None:
        self._note("set_access", (name, access))
        self._open(name).access = access

    @one_at_a_time
    def set_admission(self, name: str, *, admission: Admission) -> int:
        self._note("set_admission", name)
        self._open(name).admission = admission
        return 0

    @one_at_a_time
    def set_discovery(self, *, admission: Admission) -> int:
        self._note("set_discovery", None)
        self.discovery = admission
        return 0

    @one_at_a_time
    def resize_vdisk(self, name: str, size_bytes: int) -> None:
        self._note("resize_vdisk", (name, size_bytes))
        vdisk = self._open(name)
        vdisk.copy.size_bytes = size_bytes
        self._change(vdisk)

    @one_at_a_time
    def facts(self, name: str) -> CopyFacts:
        return self._open(name).copy.facts()

    @one_at_a_time
    def serve_single(self, name: str) -> None:
        self._note("serve_single", name)
        vdisk = self._open(name)
        if vdisk.peer is not None:
            raise EngineRefusedError("the VDisk has a peer", name)
        vdisk.mode = "single"

    @one_at_a_time
    def attach(
        self, name: str, *, role: str, sync: str, epoch: int, generation: int, local_seq: int, remote_seq: int
    ) -> None:
        self._note("attach", (name, role, sync))
        vdisk = self._open(name)
        if local_seq != vdisk.copy.seq:
            raise EngineRefusedError("the facts have changed", name)
        vdisk.plan = {"role": role, "sync": sync, "epoch": epoch, "generation": generation}
        other = self._counterpart(vdisk)
        if other is None or other[1].plan is None:
            return
        other[0].finish_attach(other[1])
        self.finish_attach(vdisk)
        if self.world.auto_resync:
            self.end_resync(name)

    def finish_attach(self, vdisk: FakeOpen) -> None:
        plan, copy = vdisk.plan, vdisk.copy
        assert plan is not None
        vdisk.plan, vdisk.mode, vdisk.sync = None, "attached", plan["sync"]
        copy.role, copy.epoch = plan["role"], plan["epoch"]
        if plan["sync"].endswith("source") and copy.base == 0:
            copy.base, copy.current = copy.current, plan["generation"]
        copy.inconsistent = plan["sync"].endswith("target")
        copy.unbroken = not copy.inconsistent
        self._change(vdisk, tell=False)
        self.tell("attached", vdisk=vdisk.name, role=copy.role, sync=vdisk.sync)

    @one_at_a_time
    def end_resync(self, name: str) -> None:
        """End a VDisk's resync on both sides."""
        vdisk = self._open(name)
        pair = self._counterpart(vdisk)
        if pair is None or vdisk.sync == "none":
            return
        source = vdisk if vdisk.sync.endswith("source") else pair[1]
        for engine, side in ((self, vdisk), pair):
            side.sync = "none"
            side.copy.current, side.copy.base = source.copy.current, 0
            side.copy.inconsistent, side.copy.dirty, side.copy.unbroken = False, 0, True
            engine._change(side, tell=False)
            engine.tell("resynced", vdisk=side.name, role=side.copy.role)

    @one_at_a_time
    def go_alone(self, name: str, *, generation: int, epoch: int, fenced: bool) -> None:
        self._note("go_alone", (name, fenced))
        vdisk = self._open(name)
        if vdisk.copy.inconsistent:
            raise EngineRefusedError("the copy is inconsistent", name)
        if vdisk.copy.base == 0:
            vdisk.copy.base, vdisk.copy.current = vdisk.copy.current, generation
        vdisk.copy.epoch, vdisk.copy.role, vdisk.copy.unbroken = epoch, "master", True
        released, vdisk.mode = (3 if vdisk.mode == "held" else 0), "alone"
        self._change(vdisk)
        self.tell("alone", vdisk=name, released=released)

    @one_at_a_time
    def stop_serving(self, name: str, *, state: str) -> None:
        self._note("stop_serving", (name, state))
        self._open(name).mode = state

    @one_at_a_time
    def leave(self, name: str) -> None:
        self._note("leave", name)
        vdisk = self._open(name)
        pair = self._counterpart(vdisk)
        vdisk.mode = "left"
        if pair is not None:
            pair[1].mode = "held"
            pair[0].tell("peer_left", vdisk=pair[1].name)
        self.tell("left", vdisk=name)

    @one_at_a_time
    def switch_roles(self, name: str) -> None:
        self._note("switch_roles", name)
        vdisk = self._open(name)
        pair = self._counterpart(vdisk)
        if pair is None or vdisk.mode != "attached":
            raise EngineRefusedError("not possible in this mode", name)
        epoch = vdisk.copy.epoch + 1
        for engine, side, role in ((self, vdisk, "slave"), (*pair, "master")):
            side.copy.role, side.copy.epoch, side.mode = role, epoch, "transitioning"
            engine._change(side, tell=False)
            engine.tell("switching", vdisk=side.name)
        self._exchange(name)

    @one_at_a_time
    def status(self) -> dict[str, Any]:
        return {
            "vdisks": {
                name: {
                    "mode": vdisk.mode,
                    "role": vdisk.copy.role,
                    "sync": vdisk.sync,
                    "resync_done": 0,
                    "resync_total": 0,
                    "verify": self.verified.get(name),
                    "access": vdisk.access,
                    "access_state": "active/optimized"
                    if vdisk.mode in ("single", "alone", "attached")
                    else "transitioning",
                    "sessions": list(vdisk.sessions),
                }
                for name, vdisk in self.vdisks.items()
            },
            "peers": {
                address: {"up": (up := address in self.links), "paths": self.paths_of(address, up=up)}
                for address in self.peers
            },
            "memory": {"held_bytes": 0, "limit_bytes": 1 << 30},
        }

    @one_at_a_time
    def shutdown(self) -> None:
        if self.closed:
            return
        self._note("shutdown", None)
        for address in list(self.links):
            if address in self.world.listening:
                self.world.listening[address].lose_link(self.mirror_address, "closed")
        self.world.listening.pop(self.mirror_address, None)
        self.closed = True

    # What the tests and the other fake engine call

    @one_at_a_time
    def link_up(self, address: str) -> None:
        other = self.world.listening.get(address)
        if other is None or not self.mirror_address or self.mirror_address not in other.peers or address in self.links:
            return
        self.links.add(address)
        other.links.add(self.mirror_address)
        self.tell("peer_up", peer=address)
        other.tell("peer_up", peer=self.mirror_address)
        for name in list(self.vdisks):
            self._exchange(name)

    @one_at_a_time
    def lose_link(self, address: str, reason: str) -> None:
        if address not in self.links:
            return
        self.links.discard(address)
        self.tell("peer_down", peer=address, reason=reason)
        for vdisk in self.vdisks.values():
            if vdisk.peer != address:
                continue
            vdisk.plan = None
            if vdisk.mode == "attached":
                vdisk.mode = "held"
                self.tell("held", vdisk=vdisk.name, peer_outdated=vdisk.copy.base != 0)

    def _note(self, call: str, argument: Any) -> None:
        if self.closed:
            raise EngineClosedError("the engine was shut down")
        self.calls.append((call, argument))
        if call in self.fail:
            raise self.fail.pop(call)

    def _open(self, name: str) -> FakeOpen:
        if name not in self.vdisks:
            raise EngineNotFoundError("no such VDisk", name)
        return self.vdisks[name]

    def _change(self, vdisk: FakeOpen, *, tell: bool = True) -> None:
        vdisk.copy.seq += 1
        vdisk.copy.save()
        if tell:
            self._exchange(vdisk.name)

    def _counterpart(self, vdisk: FakeOpen) -> tuple[FakeEngine, FakeOpen] | None:
        other = self.world.listening.get(vdisk.peer or "")
        if other is None or vdisk.peer not in self.links:
            return None
        for candidate in other.vdisks.values():
            if candidate.copy.serial == vdisk.copy.serial and candidate.peer == self.mirror_address:
                return other, candidate
        return None

    def _exchange(self, name: str) -> None:
        vdisk = self.vdisks[name]
        pair = self._counterpart(vdisk)
        if pair is None or {"attached", "left"} & {vdisk.mode, pair[1].mode}:
            return
        other, theirs = pair
        self.tell("peer_facts", vdisk=name, local=vdisk.copy.facts(), remote=theirs.copy.facts())
        other.tell("peer_facts", vdisk=theirs.name, local=theirs.copy.facts(), remote=vdisk.copy.facts())
