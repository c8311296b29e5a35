"""The native core as Python sees it: one engine, reports by eventfd, no callbacks.

All times are nanoseconds of CLOCK_BOOTTIME, all sizes bytes. Every method may be called from any thread; calls release
the GIL. A failed call raises a subclass of :class:`twindisk.errors.EngineError` and has changed nothing.
"""

from collections.abc import Sequence
from typing import Any, Self, TypedDict, final, type_check_only

__all__ = ["Engine", "SimBundle", "SimNode", "__version__"]

__version__: str

@type_check_only
class CopyFacts(TypedDict):
    """What one copy durably knows about itself (docs/formats/copy-metadata.md)."""

    current: int
    base: int
    lineage: list[int]  # generations since base, oldest first, without base and current
    epoch: int
    role: str  # "master" | "slave"
    inconsistent: bool
    ending: bool  # the end of a resync was offered: the peer may have become current
    active: int  # extents in the activity log
    dirty: int  # dirty chunks
    size_bytes: int
    unbroken: bool  # open without a break since it was last equal to the peer, or Master
    seq: int  # changes with every change of these facts while the daemon runs

@type_check_only
class Admission(TypedDict):
    """Which initiators are let in (docs/operating/access.md)."""

    initiators: list[str]  # iSCSI names; empty: every name
    users: list[tuple[str, str]]  # CHAP names and secrets of 12 to 255 bytes; empty: no authentication
    own: tuple[str, str] | None  # by which the target proves itself to an initiator that asks

@type_check_only
class Verified(TypedDict):
    """What a verification found, so far or at its end; the fields of event ``verified``, too."""

    state: str  # "running" | "completed" | "cancelled" | "interrupted": the copies parted or swapped roles
    repair: str | None  # whose bytes count where the copies differ, "master" | "slave"; None: nothing is changed
    done_bytes: int  # what comes before was compared or is about to be
    total_bytes: int
    compared_bytes: int  # the others hold data on neither copy
    differing_bytes: int
    repaired_bytes: int  # durable once the state is completed
    ranges: list[tuple[int, int]]  # that differed: first byte, length; ascending
    truncated: bool  # there were more

@final
class Engine:
    """The engine of one node: iSCSI portals, mirror links and VDisk copies."""

    def __new__(
        cls,
        *,
        heartbeat_ms: int = 200,
        silence_ms: int = 2000,
        lease_ms: int = 2000,
        memory_limit_bytes: int = ...,
    ) -> Self:
        """Start an engine; ``memory_limit_bytes``: what may be held for all initiators (docs/operating/access.md, limits)."""
    def event_fd(self) -> int:
        """Return the eventfd that becomes readable when :meth:`take_events` has something."""
    def take_events(self) -> list[dict[str, Any]]:
        """Take all queued events, oldest first; each has ``kind`` (see docs/architecture.md, engine events)."""
    def open_portal(self, host: str, port: int, *, redirect: str | None = None, permanent: bool = False) -> int:
        """Listen for initiators; return the bound port.

        ``redirect``: nobody logs in to a target here, but is sent to that portal (``host:port``); ``permanent``: for good.
        """
    def listen_mirror(self, host: str, port: int, secret: bytes, *, further: Sequence[str] = ...) -> int:
        """Listen for peers' data links (TCP) and heartbeats (UDP, same port); return the bound port.

        ``further``: this node's addresses of further paths, which need not be there yet.
        """
    def add_peer(
        self, address: str, port: int, *, dial: bool, paths: Sequence[tuple[str, str]] = ..., connections: int = 1
    ) -> None:
        """Begin to keep a link with a peer, known by its mirror address; ``dial``: this side connects.

        ``paths``: further paths, each by this node's address and the peer's; the main one is always there. ``connections``: on each
        path; the number of the side that connects counts.
        """
    def remove_peer(self, address: str) -> None:
        """Close the link and forget the peer."""
    def create_copy(
        self, directory: str, *, serial: str, size_bytes: int, generation: int, role: str, blank: bool
    ) -> None:
        """Make the files of a new copy. ``blank``: it holds nothing yet and may only become a resync target."""
    def delete_copy(self, directory: str) -> None:
        """Remove the files of a copy that is not open."""
    def relabel_copy(self, directory: str, *, serial: str, size_bytes: int, generation: int) -> None:
        """Make a copy that is not open that of another VDisk, current and whole, with the same data and no reservations.

        May be repeated; a failure may have made it so already.
        """
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
        """Open a copy; initiators see the target, not ready, until a serve command.

        ``block_bytes``: of a logical block, 512 or 4096; the same on both nodes and whenever it is opened. ``admission`` None:
        everyone is let in. ``unbroken``: the generation with which the copy was unbroken when it was last open, if this machine
        has not lost power since.
        """
    def close_vdisk(self, name: str) -> None:
        """Stop serving, end its sessions, close the files."""
    def set_peer(self, name: str, peer: str | None, *, group_tag: int) -> None:
        """Set or clear the VDisk's mirror peer; the copy stops serving until told anew."""
    def set_access(self, name: str, *, access: str) -> None:
        """Set how the paths through both nodes are to be used; to be told the same on both.

        ``access``: active-active (as a VDisk is opened) | active-passive (the Slave's path serves, but is not preferred).
        Initiators get ASYMMETRIC ACCESS STATE CHANGED when a state changes by it.
        """
    def set_admission(self, name: str, *, admission: Admission) -> int:
        """Set which initiators are let in; return how many sessions ended because they would not be let in as they are."""
    def set_discovery(self, *, admission: Admission) -> int:
        """Set who may hold discovery sessions; return how many of them ended by it."""
    def resize_vdisk(self, name: str, size_bytes: int) -> None:
        """Grow a VDisk (never shrink); initiators get CAPACITY DATA HAS CHANGED."""
    def facts(self, name: str) -> CopyFacts:
        """Return the copy's facts as they are now."""
    def suspects(self, name: str, *, first_extent: int, limit: int) -> list[tuple[int, int]]:
        """Return in which chunks (64 KiB) the copy may differ from its peer's: its dirty bitmap and its activity log.

        The first ``limit`` words from an extent (4 MiB) on, ascending: the extent's number, its 64 chunk bits. Fewer: there are no
        more. Refused while the copy mirrors.
        """
    def chunk_hashes(self, name: str, chunks: list[int]) -> list[bytes]:
        """Return the BLAKE3 hashes (32 bytes) of at most 1,024 chunks, numbered from 0, of an open copy as they are now."""
    def serve_single(self, name: str) -> None:
        """Serve a VDisk that has no mirror."""
    def attach(
        self, name: str, *, role: str, sync: str, epoch: int, generation: int, local_seq: int, remote_seq: int
    ) -> None:
        """Agree to mirror with the peer on the basis of both sides' facts.

        ``role``: master|slave. ``sync``: none|source|target|full-source|full-target. ``generation``: for a source whose
        base is 0, the new id under which the peer counts as outdated. Both sides must have been told matching plans.
        Outcome by event: ``attached`` or ``attach_refused``.
        """
    def go_alone(self, name: str, *, generation: int, epoch: int, fenced: bool) -> None:
        """Become Master without the peer: mark it outdated durably, then let held I/O go on.

        ``fenced``: the peer is known to be dead; otherwise the engine first waits until the peer's lease is over.
        Event: ``alone``. Raises if the copy is inconsistent.
        """
    def stop_serving(self, name: str, *, state: str) -> None:
        """Answer held and new I/O with NOT READY; ``state``: transitioning|standby|unavailable."""
    def leave(self, name: str) -> None:
        """Hand over cleanly: drain, flush, tell the peer. Event: ``left``."""
    def switch_roles(self, name: str) -> None:
        """On an attached Master: drain, swap the durable roles with the peer, exchange facts anew (event ``peer_facts``)."""
    def verify(self, name: str, *, repair: str | None) -> None:
        """On an attached Master in sync: compare both copies while hosts go on. Outcome by event: ``verified``.

        ``repair``: whose bytes count where they differ, master|slave; None: nothing is changed.
        """
    def end_verify(self, name: str) -> None:
        """End the verification under way before its time."""
    def set_pace(self, *, min_bytes_per_s: int, max_bytes_per_s: int | None, latency_ms: int) -> None:
        """Set how fast all resyncs and verifications together may go: slower while hosts' commands take longer than ``latency_ms``."""
    def status(self) -> dict[str, Any]:
        """Return ``vdisks`` by name, ``peers`` by mirror address and ``memory``, as they are now.

        A VDisk: ``mode`` (closed|held|single|attaching|mirroring|going-alone|alone|failed), ``role``, ``sync`` (none|source|
        target), ``resync_done`` and ``resync_total`` (bytes; 0 when none runs), ``speed_bytes_per_s`` (of resync or verification),
        ``verify`` (the latest verification, see :class:`Verified`; None: none since the copy was opened), ``iqn``, ``directory``, ``size_bytes``, ``peer``,
        ``group_tag``, ``access``, ``access_state`` and ``peer_access_state`` (what initiators see of both target port groups:
        active/optimized|active/non-optimized|transitioning|standby|unavailable; the peer's None without a mirror), ``sanitize``
        (running|failed; None: neither) and ``sanitize_percent``, ``held`` (commands), ``tasks``, ``facts``, ``counters`` (of this node's initiators: reads, read_bytes, writes,
        written_bytes, flushes; of the copy: changes, changed_bytes, resynced_bytes), ``sessions`` (list of ``initiator``, ``address``,
        ``held_bytes``: the memory that is held for it).
        A peer: ``up``, ``dial``, ``serve_until_ns``, ``promised_until_ns``, ``last_heard_ns`` (0: never), ``sent_bytes`` (of
        messages, over the present link), ``paths`` (list of ``own``, ``theirs``, ``up``, ``connections``: open ones, ``sent_bytes``; the
        main path first).
        Memory: ``held_bytes`` for all initiators together, ``limit_bytes``.
        """
    def shutdown(self) -> None:
        """Close all portals, links and copies; idempotent."""

@final
class SimBundle:
    """One side of a link of several connections without any I/O, for :mod:`twindisk.sim`; connections are small numbers of the caller's.

    After every call the caller takes and sends what is to be sent.
    """

    def __new__(cls, several: bool, interval_ns: int, silence_ns: int) -> Self: ...
    def join(self, connection: int, round_trip_ns: int, now_ns: int) -> None:
        """Have a connection join."""
    def leave(self, connection: int, now_ns: int) -> bool:
        """End a connection; return whether the link still stands."""
    def send(self, frame: bytes, now_ns: int) -> None:
        """Send a frame of a ``send`` action."""
    def receive(self, node: SimNode, peer: int, connection: int, data: bytes, now_ns: int) -> None:
        """Take what the other side sent over a connection, as it was sent, and give the node what is in order.

        Raises :class:`twindisk.errors.EngineInvalidError` for what breaks the protocol.
        """
    def confirmed(self, connection: int, len_bytes: int) -> None:
        """Note how much more of what was sent the other side's machine has confirmed."""
    def tick(self, now_ns: int) -> int | None:
        """Let time pass; return a connection that is to be ended because it was silent."""
    def take_sent(self) -> list[tuple[int, bytes]]:
        """Return what is to be sent, in order, and over which connection."""

@final
class SimNode:
    """One node's mirror core and hearts without any I/O, for :mod:`twindisk.sim`.

    Serials are 32 hex digits, peers small numbers of the caller's, times nanoseconds of any clock. After every call the
    caller takes and carries out the actions.
    """

    def __new__(cls, now_ns: int, interval_ns: int, lease_ns: int) -> Self: ...
    def add_peer(self, peer: int, now_ns: int) -> None:
        """Keep leases with a peer; what an earlier life may have promised it counts as promised."""
    def add_copy(self, serial: str, peer: int | None, record: dict[str, Any], now_ns: int) -> None:
        """Open a copy: its facts, ``size_bytes``, ``active``, ``bitmap``, ``shared``, ``unbroken`` (a generation or None); ``log_extents`` limits its activity log."""
    def remove_copy(self, serial: str) -> None:
        """Close a copy; what it was asked for has no answer."""
    def set_pace(self, min_bytes_per_s: int, max_bytes_per_s: int, latency_ns: int) -> None:
        """Set how fast resyncs and verifications together may go."""
    def host_read(self, serial: str, number: int, offset: int, len_bytes: int, now_ns: int) -> None:
        """Begin a host's read."""
    def host_write(self, serial: str, number: int, offset: int, data: bytes, fua: bool, now_ns: int) -> None:
        """Begin a host's write."""
    def host_compare_and_write(
        self, serial: str, number: int, offset: int, compare: bytes, write: bytes, fua: bool, now_ns: int
    ) -> None: ...
    def host_copy(self, serial: str, number: int, source: int, offset: int, len_bytes: int, now_ns: int) -> None:
        """Begin a host's copy of one range to another one."""
    def host_unmap(self, serial: str, number: int, offset: int, len_bytes: int, now_ns: int) -> None:
        """Begin a host's unmap."""
    def host_flush(self, serial: str, number: int, now_ns: int) -> None:
        """Begin a host's flush."""
    def host_settle(self, serial: str, number: int, now_ns: int) -> None:
        """Begin a host's question about the shared record: done once the copy serves and knows it."""
    def host_turn(self, serial: str, number: int, tag: int, now_ns: int) -> None:
        """Begin a host's change of the shared record; ``tag`` names it. When it has its turn: action ``turn``."""
    def turn_computed(self, serial: str, number: int, data: bytes | None, drain: bool, now_ns: int) -> bool:
        """Give what the record becomes, None for no change; return False if the turn was lost meanwhile."""
    def record_taken(self, serial: str, number: int, now_ns: int) -> None:
        """Say that a version of the shared record (action ``record``) is in force."""
    def can_withdraw(self, serial: str, number: int) -> bool:
        """Return whether a host's command is held."""
    def shared(self, serial: str) -> bytes:
        """Return the shared record as the copy holds it."""
    def cancel(self, serial: str, number: int, now_ns: int) -> None:
        """Give up a host's command: its session is gone."""
    def disk_done(self, serial: str, number: int, outcome: bytes | list[tuple[int]] | int | None, now_ns: int) -> None:
        """End a disk operation: with bytes, extents, an error number, or None for done."""
    def link_up(self, peer: int, key: bytes, dial: bool, now_ns: int) -> None:
        """Open a link that this node dialed, or not; ``key``: 32 bytes, its session's."""
    def link_down(self, peer: int, now_ns: int) -> None:
        """End a link."""
    def receive(self, peer: int, data: bytes, now_ns: int) -> None:
        """Take bytes of a link; raises :class:`twindisk.errors.EngineInvalidError` for what is no frame."""
    def beat(self, peer: int, datagram: bytes, now_ns: int) -> bytes | None:
        """Take a heartbeat; return the answer to be sent, if any."""
    def tick(self, now_ns: int) -> list[tuple[int, bytes]]:
        """Let time pass; return heartbeats to be sent, with their peers."""
    def last_heard(self, peer: int) -> int | None:
        """Return when a peer was last heard over the present link."""
    def command(self, serial: str, name: str, args: dict[str, Any], now_ns: int) -> str | None:
        """Carry out a decision, named like the engine's method; return why it was refused, None when it was not."""
    def status(self, serial: str) -> dict[str, Any]:
        """Return a copy's mode, sync, durable facts and counts."""
    def facts(self, serial: str) -> CopyFacts:
        """Return a copy's facts as a peer is told them."""
    def take_actions(self) -> list[tuple[Any, ...]]:
        """Return what is to be done, in order; the first member of each names its kind."""
