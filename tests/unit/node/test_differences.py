"""What both copies suspect becomes candidates, and what differs becomes ranges: pure."""

from hypothesis import given
from hypothesis import strategies as st

from twindisk.differences import CHUNK_BYTES, Candidates, Range, Writer, candidates, merged, ranges_of

HERE, PEER, BOTH = Writer.HERE, Writer.PEER, Writer.BOTH
Chunks = dict[int, Writer]


def words(chunks: Chunks, writer: Writer, extent: int, limit: int) -> list[tuple[int, int]]:
    """What a copy tells from an extent on."""
    found: dict[int, int] = {}
    for chunk, who in chunks.items():
        if who in (writer, BOTH) and chunk // 64 >= extent:
            found[chunk // 64] = found.get(chunk // 64, 0) | 1 << chunk % 64
    return sorted(found.items())[:limit]


@given(
    st.dictionaries(st.integers(0, 2000), st.sampled_from(list(Writer)), max_size=60),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(0, 2100),
)
def test_part_by_part_every_candidate_from_a_chunk_on_is_told_once(
    chunks: Chunks, words_max: int, chunks_max: int, first: int
) -> None:
    told: list[tuple[int, Writer]] = []
    at: int | None = first
    while at is not None:
        here, peer = (words(chunks, writer, at // 64, words_max) for writer in (HERE, PEER))
        found = candidates(here, peer, at, words_max, chunks_max)
        assert len(found.chunks) <= chunks_max
        assert found.next_chunk is None or found.next_chunk > at
        told += found.chunks
        at = found.next_chunk
    assert told == sorted((chunk, who) for chunk, who in chunks.items() if chunk >= first)


def test_a_copy_that_may_have_more_to_tell_ends_the_part() -> None:
    here, peer = [(0, 1), (5, 1)], [(0, 2), (1, 1)]
    assert candidates(here, peer, 0, 2, 99) == Candidates(((0, HERE), (1, PEER), (64, PEER)), 128)
    assert candidates(here, peer, 0, 3, 99).next_chunk is None


def test_ranges_end_with_the_vdisk_and_where_another_wrote() -> None:
    size_bytes = 9 * CHUNK_BYTES + 512
    found = ranges_of([(0, HERE), (1, HERE), (2, BOTH), (4, BOTH), (9, PEER), (10, PEER)], size_bytes)
    assert [(at.offset_bytes // CHUNK_BYTES, at.length_bytes, at.writer) for at in found] == [
        (0, 2 * CHUNK_BYTES, HERE),
        (2, CHUNK_BYTES, BOTH),
        (4, CHUNK_BYTES, BOTH),
        (9, 512, PEER),
    ]


def test_ranges_of_two_parts_become_one() -> None:
    parts = [Range(0, 8, HERE), Range(8, 8, HERE), Range(16, 8, PEER), Range(32, 8, PEER)]
    assert list(merged(parts)) == [Range(0, 16, HERE), Range(16, 8, PEER), Range(32, 8, PEER)]
    assert list(merged([])) == []
