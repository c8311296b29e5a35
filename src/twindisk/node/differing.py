"""Where the two copies of a mirrored VDisk differ that parted, told part by part.

Rules:

* Nothing is changed, and no I/O waits: both nodes say what their copies suspect, and hash what is there.
* A part looks at no more than ``CHUNKS_MAX`` chunks, so both nodes need the same few megabytes for a VDisk of any size.
* Each part is judged by the facts of its time. Copies whose suspects do not name every difference are not compared.
* The data of a copy that serves change meanwhile; so what is told of it was so at some moment.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from twindisk.api.peer_schemas import HASHES_MAX, SUSPECTS_MAX, FactsTold, Hashes, HashesAsk, Suspects, SuspectsAsk
from twindisk.brain.effects import Message
from twindisk.brain.generations import names_every_difference
from twindisk.brain.model import CopyFacts
from twindisk.brain.reports import copy_facts
from twindisk.differences import (
    CHUNK_BYTES,
    EXTENT_CHUNKS,
    Candidates,
    Range,
    Writer,
    candidates,
    ranges_of,
)
from twindisk.errors import EngineRefusedError, PeerError, PeerProblem, RefusedError, RefusedProblem
from twindisk.node import mirror_accept, mirrors, vdisks
from twindisk.node.context import Node
from twindisk.node.records import EventsWanted, Mirror, VDisk

CHUNKS_MAX: Final = 1024
EVENTS_MAX: Final = 1000
"""How many of a VDisk's latest events are searched for the moment at which the copies parted."""
_WENT_ALONE: Final = frozenset(
    message.value
    for message in (
        Message.PEER_FAILED,
        Message.SWITCHING_TO_MASTER,
        Message.WENT_ALONE_UNCHECKED,
        Message.MANUAL_MASTER,
        Message.FORCED_MASTER,
        Message.STARTED_ALONE,
    )
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the differences. ``compared_bytes``: of candidates; ``next_bytes``: where the next part begins, None: nowhere."""

    parted_ms: int | None
    ranges: tuple[Range, ...]
    compared_bytes: int
    next_bytes: int | None


async def part(node: Node, name: str, from_bytes: int) -> Part:
    """Compare the copies of a VDisk from a byte on.

    Raises NotFoundError(VDISK, MIRROR), RefusedError(DIFF_MIRRORS, DIFF_UNRELATED, VDISK_FAILED), PeerError, EngineError.
    """
    mirror, vdisk = mirrors.find(node, name), vdisks.find(node, name)
    first_chunk = from_bytes // CHUNK_BYTES
    ask = SuspectsAsk(serial=vdisk.serial, first_extent=first_chunk // EXTENT_CHUNKS, limit=SUSPECTS_MAX)
    ours = await _suspects(node, vdisk, mirror, ask)
    theirs = await node.peer.suspects(mirror.peer, mirror.remote, ask)
    if not names_every_difference(_brains(ours), _brains(theirs)):
        raise RefusedError(RefusedProblem.DIFF_UNRELATED, vdisk=name, peer=mirror.peer, node=node.config.node_name)
    named = candidates(ours.words, theirs.words, first_chunk, SUSPECTS_MAX, CHUNKS_MAX)
    differing = await _differing(node, vdisk, mirror, named)
    parted = [at for at in (ours.parted_ms, theirs.parted_ms) if at is not None]
    return Part(
        parted_ms=min(parted, default=None),
        ranges=ranges_of(differing, vdisk.size_bytes),
        compared_bytes=sum(found.length_bytes for found in ranges_of(named.chunks, vdisk.size_bytes)),
        next_bytes=None if named.next_chunk is None else named.next_chunk * CHUNK_BYTES,
    )


async def _differing(node: Node, vdisk: VDisk, mirror: Mirror, named: Candidates) -> list[tuple[int, Writer]]:
    """Return the candidates whose data differ."""
    found: list[tuple[int, Writer]] = []
    for at in range(0, len(named.chunks), HASHES_MAX):
        batch = named.chunks[at : at + HASHES_MAX]
        ask = HashesAsk(serial=vdisk.serial, chunks=[chunk for chunk, _ in batch])
        ours, theirs = await asyncio.gather(
            _hashes(node, vdisk.name, ask), node.peer.hashes(mirror.peer, mirror.remote, ask)
        )
        if len(theirs.hashes) != len(batch):
            detail = f"{len(theirs.hashes)} hashes of {len(batch)} chunks"
            raise PeerError(PeerProblem.BAD_ANSWER, peer=mirror.peer, detail=detail)
        pairs = zip(batch, ours.hashes, theirs.hashes, strict=True)
        found.extend(chunk for chunk, here, there in pairs if here != there)
    return found


async def tell_suspects(node: Node, sender: str, name: str, ask: SuspectsAsk) -> Suspects:
    """Tell the peer in which chunks our copy may differ from its. Raises NotFoundError, RefusedError(DIFF_MIRRORS, VDISK_FAILED)."""
    vdisk, mirror = mirror_accept.mirrored_with(node, sender, name, ask.serial), mirrors.find(node, name)
    return await _suspects(node, vdisk, mirror, ask)


async def tell_hashes(node: Node, sender: str, name: str, ask: HashesAsk) -> Hashes:
    """Tell the peer the hashes of chunks of our copy. Raises NotFoundError, EngineError."""
    mirror_accept.mirrored_with(node, sender, name, ask.serial)
    return await _hashes(node, name, ask)


async def _suspects(node: Node, vdisk: VDisk, mirror: Mirror, ask: SuspectsAsk) -> Suspects:
    here = {"vdisk": vdisk.name, "peer": mirror.peer, "node": node.config.node_name}
    if vdisk.name in node.broken:
        raise RefusedError(RefusedProblem.VDISK_FAILED, detail=node.broken[vdisk.name], **here)
    try:
        words = await asyncio.to_thread(
            node.engine.suspects, vdisk.name, first_extent=ask.first_extent, limit=ask.limit
        )
        facts = await asyncio.to_thread(node.engine.facts, vdisk.name)
    except EngineRefusedError:
        known = node.brain_vdisk(vdisk.name)
        phase = "unknown" if known is None else known.phase.value
        raise RefusedError(RefusedProblem.DIFF_MIRRORS, phase=phase, **here) from None
    return Suspects(facts=FactsTold.model_validate(facts), parted_ms=_parted_ms(node, vdisk.name), words=words)


async def _hashes(node: Node, name: str, ask: HashesAsk) -> Hashes:
    found = await asyncio.to_thread(node.engine.chunk_hashes, name, ask.chunks)
    return Hashes(hashes=[one.hex() for one in found])


def _parted_ms(node: Node, name: str) -> int | None:
    """Return when this node began to go on without its peer, as far as its events tell."""
    events = node.state.events(EventsWanted(vdisk=name), limit=EVENTS_MAX)
    at_ms = None
    for event in events:
        if event.kind == Message.PEER_CONNECTED.value:
            at_ms = None
        elif event.kind in _WENT_ALONE and at_ms is None:
            at_ms = event.at_ms
    return at_ms


def _brains(told: Suspects) -> CopyFacts:
    return copy_facts(told.facts.model_dump())
