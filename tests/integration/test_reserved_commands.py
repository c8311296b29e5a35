"""Every command against every type of reservation, with the holder on one node and the others on the other one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from integration.reservation_client import (
    CLEAR,
    CONFLICT,
    GOOD,
    IGNORE,
    PREEMPT,
    PREEMPT_AND_ABORT,
    REGISTER,
    RELEASE,
    RESERVE,
    Port,
    clear_all,
)
from integration.reserved_commands import OWN_RULES, ROWS, Rule, named, parse_all_commands
from twindisk.demo.pair import Pair

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.promise("P5")]

TYPES = {
    1: "write exclusive",
    3: "exclusive access",
    5: "write exclusive, registrants only",
    6: "exclusive access, registrants only",
    7: "write exclusive, all registrants",
    8: "exclusive access, all registrants",
}
EXCLUSIVE_ACCESS = frozenset({3, 6, 8})
FOR_REGISTRANTS = frozenset({5, 6, 7, 8})
ALL_REGISTRANTS = frozenset({7, 8})
HOLDER_KEY, OTHER_KEY = 1, 2


@dataclass
class Trio:
    """Who holds the reservation, and two on the other node: one is registered, one is not."""

    holder: Port
    registered: Port
    stranger: Port

    async def reserve(self, kind: int) -> None:
        await clear_all(self.holder)
        assert await self.holder.out(REGISTER, action_key=HOLDER_KEY) == GOOD
        assert await self.registered.out(REGISTER, action_key=OTHER_KEY) == GOOD
        assert await self.holder.out(RESERVE, kind, key=HOLDER_KEY) == GOOD

    async def assert_held(self, kind: int) -> None:
        for port in (self.holder, self.registered, self.stranger):
            assert await port.keys() == [HOLDER_KEY, OTHER_KEY]
            assert await port.held() == (kind, 0 if kind in ALL_REGISTRANTS else HOLDER_KEY)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["held on the Master", "held on the Slave"])
async def trio(pair: Pair, request: pytest.FixtureRequest) -> AsyncIterator[Trio]:
    here, there = (pair.first, pair.second) if "Master" in request.param else (pair.second, pair.first)
    made = [await Port.log_in(pair, node, number) for number, node in enumerate((here, there, there), 1)]
    yield Trio(*made)
    await clear_all(made[0])
    for port in made:
        await port.session.close()


def forbidden(rule: Rule, kind: int, *, registered: bool) -> bool:
    if registered and kind in FOR_REGISTRANTS:
        return False
    return rule is Rule.ALL or (rule is Rule.EXCLUSIVE_ACCESS and kind in EXCLUSIVE_ACCESS)


@pytest.mark.parametrize("kind", TYPES, ids=TYPES.values())
async def test_each_command_is_refused_to_whom_the_tables_refuse_it(trio: Trio, kind: int) -> None:
    await trio.reserve(kind)
    offered = parse_all_commands(
        (await trio.holder.run(bytes([0xA3, 0x0C, *[0] * 6, 8, 0, 0, 0]), data_in_bytes=2048))[1]
    )
    assert offered - {named(row.block) for row in ROWS} <= OWN_RULES.keys(), "a command without a row"
    wrong, sent = [], 0
    for who, port in (("registered", trio.registered), ("stranger", trio.stranger), ("holder", trio.holder)):
        for row in ROWS:
            if named(row.block) not in offered:
                continue
            refused = who != "holder" and forbidden(row.rule, kind, registered=who == "registered")
            expected = CONFLICT if refused else row.allowed
            if expected is None:
                continue
            status, _ = await port.run(row.block, data_out=row.data_out, data_in_bytes=row.data_in_bytes)
            sent += 1
            if status != expected:
                wrong.append(f"{row.name} from the {who}: {status}, the tables say {expected}")
    assert sent >= 3 * 40
    assert not wrong


CHANGES = [
    # Service action, key, service action key; may one send it who is registered, who is not (SPC-4 table 66).
    (RESERVE, True, 0, CONFLICT, CONFLICT),
    (RELEASE, True, 0, GOOD, CONFLICT),
    (PREEMPT, True, HOLDER_KEY, GOOD, CONFLICT),
    (PREEMPT_AND_ABORT, True, HOLDER_KEY, GOOD, CONFLICT),
    (CLEAR, True, 0, GOOD, CONFLICT),
    (IGNORE, False, 9, GOOD, GOOD),
    (REGISTER, True, 9, GOOD, GOOD),
]


@pytest.mark.parametrize("kind", TYPES, ids=TYPES.values())
async def test_each_change_is_refused_to_whom_the_table_refuses_it(trio: Trio, kind: int) -> None:
    await trio.reserve(kind)
    for action, with_key, action_key, registered, stranger in CHANGES:
        # Another type than the one that is held: what all hold may be reserved again by each of them.
        asked = next(other for other in TYPES if other != kind) if action == RESERVE else kind
        for port, own_key, expected in ((trio.registered, OTHER_KEY, registered), (trio.stranger, 0, stranger)):
            key = own_key if with_key else 0
            assert await port.out(action, asked, key=key, action_key=action_key) == expected, (action, own_key)
            if expected == GOOD:
                await trio.reserve(kind)
            else:
                await trio.assert_held(kind)


@pytest.mark.parametrize("kind", TYPES, ids=TYPES.values())
async def test_only_who_holds_a_reservation_alone_moves_it(trio: Trio, kind: int) -> None:
    await trio.reserve(kind)
    mine, other = await trio.holder.registrations()
    assert [mine.target != other.target, mine.kind, other.kind] == [True, kind, kind if kind in ALL_REGISTRANTS else 0]
    assert await trio.registered.move(OTHER_KEY, 7, mine) == CONFLICT
    assert await trio.stranger.move(0, 7, other) == CONFLICT
    await trio.assert_held(kind)
    if kind in ALL_REGISTRANTS:
        assert await trio.holder.move(HOLDER_KEY, 7, other) == CONFLICT
        await trio.assert_held(kind)
        return
    assert await trio.holder.move(HOLDER_KEY, 7, other, unregister=True) == GOOD
    for port in (trio.holder, trio.registered, trio.stranger):
        assert (await port.keys(), await port.held()) == ([7], (kind, 7))
    assert [await trio.registered.write(), await trio.holder.write()] == [GOOD, CONFLICT]
