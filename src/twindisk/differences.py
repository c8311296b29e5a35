"""Where two copies that parted differ, and who wrote there: decided from what both copies suspect. Pure.

Rules:

* A chunk (64 KiB) can differ only if one of the copies names it: in its dirty bitmap, or in its activity log. So both lists together
  are the candidates; equal hashes take those out that were changed alike, or not at all.
* Who names a chunk may have written it since the copies parted: it may be named only because it was written shortly before
  the copies parted, or lies in an extent (4 MiB) that was written in shortly before the node crashed. Who does not name it has not.
* A copy that tells as many words as it was asked for may have more behind them: candidates end there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

CHUNK_BYTES: Final = 64 << 10
EXTENT_CHUNKS: Final = 64

Words: TypeAlias = Sequence[tuple[int, int]]
"""Extents, ascending, each with a bit for each of its 64 chunks."""


class Writer(StrEnum):
    """Who may have written a range since the copies parted, as seen from the node that was asked."""

    HERE = "here"
    PEER = "peer"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Candidates:
    """Chunks that may differ, ascending, with who names them. ``next_chunk``: where others may follow, None: nowhere."""

    chunks: tuple[tuple[int, Writer], ...]
    next_chunk: int | None


@dataclass(frozen=True, slots=True)
class Range:
    """A range that differs; both members are whole chunks, but for the end of a VDisk of odd size."""

    offset_bytes: int
    length_bytes: int
    writer: Writer

    @property
    def end_bytes(self) -> int:
        """Where it ends."""
        return self.offset_bytes + self.length_bytes


def candidates(here: Words, peer: Words, first_chunk: int, words_max: int, chunks_max: int) -> Candidates:
    """Return the first candidates from a chunk on.

    ``here``, ``peer``: at most ``words_max`` words of each copy, from the chunk's extent on; fewer: there are no more.
    """
    told = [words[-1][0] + 1 for words in (here, peer) if len(words) >= words_max]
    end_extent = min(told) if told else None
    bits = {extent: [word, 0] for extent, word in here}
    for extent, word in peer:
        bits.setdefault(extent, [0, 0])[1] = word
    found: list[tuple[int, Writer]] = []
    for extent in sorted(bits):
        if end_extent is not None and extent >= end_extent:
            break
        for chunk, writer in _chunks(extent, *bits[extent]):
            if chunk < first_chunk:
                continue
            if len(found) == chunks_max:
                return Candidates(tuple(found), chunk)
            found.append((chunk, writer))
    return Candidates(tuple(found), None if end_extent is None else end_extent * EXTENT_CHUNKS)


def _chunks(extent: int, here: int, peer: int) -> Iterator[tuple[int, Writer]]:
    either = here | peer
    for place in range(EXTENT_CHUNKS):
        bit = 1 << place
        if either & bit:
            writer = Writer.BOTH if here & peer & bit else Writer.HERE if here & bit else Writer.PEER
            yield extent * EXTENT_CHUNKS + place, writer


def ranges_of(chunks: Iterable[tuple[int, Writer]], size_bytes: int) -> tuple[Range, ...]:
    """Return the ranges that chunks make up, ascending, cut to the VDisk."""
    ranges = (
        Range(chunk * CHUNK_BYTES, min(CHUNK_BYTES, size_bytes - chunk * CHUNK_BYTES), writer)
        for chunk, writer in chunks
        if chunk * CHUNK_BYTES < size_bytes
    )
    return tuple(merged(ranges))


def merged(ranges: Iterable[Range]) -> Iterator[Range]:
    """Give ascending ranges with those made one that touch and have the same writer; keeps only one of them in memory."""
    last: Range | None = None
    for found in ranges:
        if last is not None and last.end_bytes == found.offset_bytes and last.writer is found.writer:
            last = Range(last.offset_bytes, last.length_bytes + found.length_bytes, last.writer)
            continue
        if last is not None:
            yield last
        last = found
    if last is not None:
        yield last
