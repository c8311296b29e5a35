import asyncio

import pytest

from torture.wires import Cable, End


class Paper(Cable):
    """A cable that only remembers where its ends point."""

    def __init__(self) -> None:
        ends = (
            End(f"namespace{number}", "eth0", f"192.0.2.{number}", f"02:00:00:00:00:0{number}") for number in range(2)
        )
        super().__init__("paper", *ends)
        self.pointed = [self.ends[1].mac, self.ends[0].mac]

    def _point(self, way: int, mac: str) -> None:
        self.pointed[way] = mac

    @property
    def whole(self) -> bool:
        return self.pointed == [self.ends[1].mac, self.ends[0].mac]


async def test_a_direction_is_whole_once_everybody_who_cut_it_mended_it() -> None:
    cable = Paper()
    async with cable.without(0):
        async with cable.without(0, 1):
            assert not cable.whole
        assert cable.pointed[1] == cable.ends[0].mac
        assert not cable.whole
    assert cable.whole


@pytest.mark.parametrize("turns", range(12))
async def test_a_cut_that_is_cancelled_at_any_moment_leaves_nothing_cut(turns: int) -> None:
    cable = Paper()

    async def flap() -> None:
        while True:
            async with cable.without(0, 1):
                await asyncio.sleep(0)

    task = asyncio.create_task(flap())
    for _ in range(turns * 3):
        await asyncio.sleep(0.0002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert cable.whole
