"""Persistent reservations with initiators on different nodes: SPC-4's tables, seen through both."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.reservation_client import (
    CHECK,
    CLEAR,
    CONFLICT,
    GOOD,
    IGNORE,
    MOVE,
    PREEMPT,
    PREEMPT_AND_ABORT,
    REGISTER,
    RELEASE,
    RESERVE,
    Port,
    clear_all,
)
from twindisk.demo.pair import Pair

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

Ports = dict[str, Port]
Step = tuple[str, int, int, int, int, str]
"""Who, service action, type, key, service action key, the expected status."""

PREEMPTED, CLEARED, RELEASED = (0x2A, 0x05), (0x2A, 0x03), (0x2A, 0x04)
A1: Step = ("A", REGISTER, 0, 0, 1, GOOD)
B2: Step = ("B", REGISTER, 0, 0, 2, GOOD)
C3: Step = ("C", REGISTER, 0, 0, 3, GOOD)


def reserve(kind: int) -> Step:
    return ("A", RESERVE, kind, 1, 0, GOOD)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ports(pair: Pair) -> AsyncIterator[Ports]:
    """A on the Master; B and C on the Slave."""
    made = {
        "A": await Port.log_in(pair, pair.first, 1),
        "B": await Port.log_in(pair, pair.second, 2),
        "C": await Port.log_in(pair, pair.second, 3),
    }
    yield made
    for port in made.values():
        await port.session.close()


async def begin(ports: Ports) -> None:
    await clear_all(ports["A"])
    for port in ports.values():
        await port.read()
        port.attentions.clear()


async def follow(ports: Ports, steps: list[Step]) -> None:
    for who, action, kind, key, action_key, expected in steps:
        status = await ports[who].out(action, kind, key, action_key)
        assert status == expected, (who, action, kind, key, action_key)


async def assert_seen_by_all(ports: Ports, keys: list[int], held: tuple[int, int] | None) -> None:
    for name, port in ports.items():
        assert (await port.keys(), await port.held()) == (keys, held), name


CASES: list[tuple[str, list[Step], list[int], tuple[int, int] | None]] = [
    ("register on either node", [A1, B2, C3], [1, 2, 3], None),
    ("register needs key 0 at first", [("B", REGISTER, 0, 5, 2, CONFLICT)], [], None),
    ("register of nothing", [("B", REGISTER, 0, 0, 0, GOOD)], [], None),
    ("register again changes the key", [A1, B2, ("B", REGISTER, 0, 2, 7, GOOD)], [1, 7], None),
    ("register with a wrong key", [A1, B2, ("B", REGISTER, 0, 1, 7, CONFLICT)], [1, 2], None),
    ("unregister", [A1, B2, ("B", REGISTER, 0, 2, 0, GOOD)], [1], None),
    ("ignore the existing key", [A1, B2, ("B", IGNORE, 0, 9, 7, GOOD)], [1, 7], None),
    ("ignore and unregister", [A1, B2, ("A", IGNORE, 0, 9, 0, GOOD)], [2], None),
    ("ignore of nothing", [("A", IGNORE, 0, 9, 0, GOOD)], [], None),
    ("reserve unregistered", [A1, ("B", RESERVE, 1, 0, 0, CONFLICT)], [1], None),
    ("reserve with a wrong key", [A1, B2, ("B", RESERVE, 1, 1, 0, CONFLICT)], [1, 2], None),
    ("reserve with an unknown type", [A1, ("A", RESERVE, 2, 1, 0, CHECK)], [1], None),
    ("reserve with another scope", [A1, ("A", RESERVE, 0x11, 1, 0, CHECK)], [1], None),
    ("reserve again", [A1, reserve(1), reserve(1)], [1], (1, 1)),
    ("reserve with another type", [A1, reserve(1), ("A", RESERVE, 3, 1, 0, CONFLICT)], [1], (1, 1)),
    ("reserve what the other holds", [A1, B2, reserve(1), ("B", RESERVE, 1, 2, 0, CONFLICT)], [1, 2], (1, 1)),
    ("reserve what all hold", [A1, B2, reserve(7), ("B", RESERVE, 7, 2, 0, GOOD)], [1, 2], (7, 0)),
    ("reserve on the Slave", [A1, B2, ("B", RESERVE, 6, 2, 0, GOOD)], [1, 2], (6, 2)),
    ("release", [A1, reserve(3), ("A", RELEASE, 3, 1, 0, GOOD)], [1], None),
    ("release of nothing", [A1, ("A", RELEASE, 3, 1, 0, GOOD)], [1], None),
    ("release of another type", [A1, reserve(3), ("A", RELEASE, 1, 1, 0, CHECK)], [1], (3, 1)),
    ("release by another", [A1, B2, reserve(3), ("B", RELEASE, 3, 2, 0, GOOD)], [1, 2], (3, 1)),
    ("release unregistered", [A1, reserve(3), ("B", RELEASE, 3, 0, 0, CONFLICT)], [1], (3, 1)),
    ("release by any of all", [A1, B2, reserve(8), ("B", RELEASE, 8, 2, 0, GOOD)], [1, 2], None),
    ("clear by another", [A1, B2, reserve(3), ("B", CLEAR, 0, 2, 0, GOOD)], [], None),
    ("clear with a wrong key", [A1, B2, reserve(3), ("B", CLEAR, 0, 1, 0, CONFLICT)], [1, 2], (3, 1)),
    ("clear unregistered", [A1, reserve(3), ("C", CLEAR, 0, 0, 0, CONFLICT)], [1], (3, 1)),
    ("the holder unregisters", [A1, B2, reserve(5), ("A", REGISTER, 0, 1, 0, GOOD)], [2], None),
    ("one of all unregisters", [A1, B2, reserve(7), ("A", REGISTER, 0, 1, 0, GOOD)], [2], (7, 0)),
    ("the holder changes its key", [A1, reserve(1), ("A", REGISTER, 0, 1, 6, GOOD)], [6], (1, 6)),
    ("preempt the holder", [A1, B2, reserve(1), ("B", PREEMPT, 3, 2, 1, GOOD)], [2], (3, 2)),
    ("preempt the holder, abort", [A1, B2, reserve(6), ("B", PREEMPT_AND_ABORT, 5, 2, 1, GOOD)], [2], (5, 2)),
    ("preempt a registration", [A1, B2, C3, reserve(1), ("A", PREEMPT, 1, 1, 3, GOOD)], [1, 2], (1, 1)),
    ("preempt by one who holds nothing", [A1, B2, C3, reserve(1), ("B", PREEMPT, 3, 2, 3, GOOD)], [1, 2], (1, 1)),
    ("preempt without a reservation", [A1, B2, ("B", PREEMPT, 1, 2, 1, GOOD)], [2], None),
    ("preempt nobody", [A1, B2, reserve(1), ("B", PREEMPT, 1, 2, 9, CONFLICT)], [1, 2], (1, 1)),
    ("preempt key 0", [A1, B2, reserve(1), ("B", PREEMPT, 1, 2, 0, CHECK)], [1, 2], (1, 1)),
    ("preempt unregistered", [A1, reserve(1), ("B", PREEMPT, 1, 0, 1, CONFLICT)], [1], (1, 1)),
    ("preempt all", [A1, B2, C3, reserve(7), ("B", PREEMPT, 1, 2, 0, GOOD)], [2], (1, 2)),
    ("preempt one of all", [A1, B2, C3, reserve(8), ("B", PREEMPT, 1, 2, 3, GOOD)], [1, 2], (8, 0)),
    ("preempt with an unknown type", [A1, B2, reserve(1), ("B", PREEMPT, 9, 2, 1, CHECK)], [1, 2], (1, 1)),
    ("preempt oneself", [A1, reserve(1), ("A", PREEMPT, 3, 1, 1, GOOD)], [1], (3, 1)),
    ("move without its list", [A1, reserve(1), ("A", MOVE, 0, 1, 5, CHECK)], [1], (1, 1)),
    ("an unknown service action", [A1, ("A", 9, 0, 1, 0, CHECK)], [1], None),
]


@pytest.mark.promise("P5")
@pytest.mark.parametrize(("steps", "keys", "held"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_both_nodes_answer_as_one_device_server(
    ports: Ports, steps: list[Step], keys: list[int], held: tuple[int, int] | None
) -> None:
    await begin(ports)
    await follow(ports, steps)
    await assert_seen_by_all(ports, keys, held)


ACCESS = [
    # Type, then read and write of B, registered, and of C, not registered; both on the other node.
    (1, GOOD, CONFLICT, GOOD, CONFLICT),
    (3, CONFLICT, CONFLICT, CONFLICT, CONFLICT),
    (5, GOOD, GOOD, GOOD, CONFLICT),
    (6, GOOD, GOOD, CONFLICT, CONFLICT),
    (7, GOOD, GOOD, GOOD, CONFLICT),
    (8, GOOD, GOOD, CONFLICT, CONFLICT),
]


@pytest.mark.promise("P5")
@pytest.mark.parametrize("case", ACCESS, ids=[f"type {case[0]}" for case in ACCESS])
async def test_a_reservation_made_on_one_node_holds_on_the_other(
    ports: Ports, case: tuple[int, str, str, str, str]
) -> None:
    await begin(ports)
    kind, *expected = case
    await follow(ports, [A1, B2, reserve(kind)])
    seen = [await ports[who].__getattribute__(what)() for who in "BC" for what in ("read", "write")]
    assert seen == expected
    assert [await ports["A"].read(), await ports["A"].write()] == [GOOD, GOOD]
    await follow(ports, [("A", RELEASE, kind, 1, 0, GOOD)])
    assert [await ports["C"].read(), await ports["C"].write()] == [GOOD, GOOD]


ATTENTIONS: list[tuple[str, list[Step], dict[str, list[tuple[int, int]]]]] = [
    ("preempt", [A1, B2, C3, reserve(5), ("B", PREEMPT, 5, 2, 1, GOOD)], {"A": [PREEMPTED], "B": [], "C": []}),
    (
        "preempt and change the type",
        [A1, B2, C3, reserve(5), ("B", PREEMPT, 1, 2, 1, GOOD)],
        {"A": [PREEMPTED], "B": [], "C": [RELEASED]},
    ),
    (
        "preempt a registration on the other node",
        [A1, B2, C3, ("A", PREEMPT_AND_ABORT, 1, 1, 3, GOOD)],
        {"A": [], "B": [], "C": [PREEMPTED]},
    ),
    ("clear", [A1, B2, reserve(1), ("B", CLEAR, 0, 2, 0, GOOD)], {"A": [CLEARED], "B": [], "C": []}),
    (
        "release for registrants",
        [A1, B2, reserve(6), ("A", RELEASE, 6, 1, 0, GOOD)],
        {"A": [], "B": [RELEASED], "C": []},
    ),
    ("release", [A1, B2, reserve(1), ("A", RELEASE, 1, 1, 0, GOOD)], {"A": [], "B": [], "C": []}),
    (
        "the holder unregisters",
        [A1, B2, reserve(5), ("A", REGISTER, 0, 1, 0, GOOD)],
        {"A": [], "B": [RELEASED], "C": []},
    ),
]


@pytest.mark.promise("P5")
@pytest.mark.parametrize(("steps", "told"), [case[1:] for case in ATTENTIONS], ids=[case[0] for case in ATTENTIONS])
async def test_initiators_of_the_other_node_hear_of_changes(
    ports: Ports, steps: list[Step], told: dict[str, list[tuple[int, int]]]
) -> None:
    await begin(ports)
    await follow(ports, steps)
    for port in ports.values():
        await port.keys()
    assert {name: port.attentions for name, port in ports.items()} == told


@pytest.mark.promise("P5")
async def test_a_registration_for_all_ports_covers_both_nodes(pair: Pair, ports: Ports) -> None:
    await begin(ports)
    assert await ports["A"].out(REGISTER, action_key=1, flags=0x04) == GOOD
    assert await ports["B"].keys() == [1, 1]
    assert await ports["A"].out(RESERVE, 6, key=1) == GOOD
    other = await Port.log_in(pair, pair.second, 1)
    try:
        assert await other.write() == GOOD
        assert await ports["B"].write() == CONFLICT
    finally:
        await other.session.close()
    status = await ports["B"].full_status()
    assert status == await ports["A"].full_status()
    assert status.count(b"iqn.2024-01.invalid.twindisk:port1,i,0x") == 2
