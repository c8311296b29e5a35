from unittest.mock import create_autospec

from twindisk.demo.workload import BLOCK_BYTES, Pauses, Workload
from twindisk.initiator import MultipathDisk


def workload(size_bytes: int) -> Workload:
    return Workload(create_autospec(MultipathDisk), size_bytes)


def test_no_two_writes_have_the_same_content() -> None:
    work = workload(1 << 30)
    contents = {work.content(block, sequence) for block in range(20) for sequence in range(1, 20)}
    assert len(contents) == 20 * 19
    assert {len(content) for content in contents} == {BLOCK_BYTES}


def test_two_runs_never_write_the_same_content() -> None:
    assert workload(1 << 30).content(1, 1) != workload(1 << 30).content(1, 1)


def test_blocks_are_spread_over_the_disk_and_stay_on_it() -> None:
    for size_bytes in (BLOCK_BYTES, 100_000_256, 1 << 30, 1 << 40):
        work = workload(size_bytes)
        last = work.offset(work.blocks - 1)
        assert last + BLOCK_BYTES <= size_bytes
        assert last >= size_bytes // 2 - BLOCK_BYTES


def test_the_longest_pause_is_between_two_acknowledgements() -> None:
    pauses = Pauses()
    for now in (10.0, 10.25, 12.5, 12.75):
        pauses.acknowledged(now)
    assert pauses.longest_s == 2.25
