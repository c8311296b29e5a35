"""Sending: never in anybody's way, to all destinations that can be reached, with one line of log for each kind of trouble."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from twindisk.node.log import Log
from twindisk.snmp.delivery import WAITING_MAX, Address, Delivery, Outcome
from twindisk.snmp.encoder import Start
from twindisk.snmp.health import QUIET_S, Health, News, Problem
from twindisk.snmp.notification import Notification, NotifyType
from twindisk.snmp.settings import Destination, TrapSettings
from twindisk.snmp.traps import Traps

HOST = "127.0.0.1"


def recording_log(entries: list[dict[str, Any]]) -> Log:
    def keep(_logger: object, level: str, entry: Any) -> Any:
        entries.append({"level": level, **entry})
        raise structlog.DropEvent

    logger: Log = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    return logger


def listener() -> tuple[socket.socket, Destination]:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((HOST, 0))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    receiver.settimeout(5)
    return receiver, Destination(HOST, receiver.getsockname()[1])


def dead_end() -> Destination:
    """A port where nobody listens."""
    receiver, destination = listener()
    receiver.close()
    return destination


def text(number: int) -> Notification:
    return Notification(NotifyType.INFORMATION, str(number), 0)


def encode(notification: Notification) -> bytes:
    return notification.message.encode()


@contextmanager
def delivering(destination: Destination, log: list[dict[str, Any]], **options: Any) -> Iterator[Delivery]:
    delivery = Delivery(destination, encode, recording_log(log), **options)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.close()
        delivery.join(5)


def test_what_waits_is_bounded_and_the_oldest_goes_first() -> None:
    receiver, destination = listener()
    may_resolve, resolving, log = threading.Event(), threading.Event(), list[dict[str, Any]]()

    def stalled(_: Destination) -> Address:
        resolving.set()
        assert may_resolve.wait(5)
        return socket.AF_INET, (HOST, destination.port)

    with receiver, delivering(destination, log, find=stalled) as delivery:
        delivery.submit(text(0))
        assert resolving.wait(5)
        lost = Future[Outcome]()
        delivery.submit(text(1), lost)
        for number in range(2, WAITING_MAX + 11):
            delivery.submit(text(number))
        assert lost.result(0) == Outcome(Problem.OVERFLOW)
        may_resolve.set()
        received = [int(receiver.recv(100)) for _ in range(WAITING_MAX + 1)]
        assert received == [0, *range(11, WAITING_MAX + 11)]
    assert (delivery.sent, delivery.dropped) == (WAITING_MAX + 1, 10)
    assert [entry["problem"] for entry in log] == [Problem.OVERFLOW.value]


def test_a_name_that_does_not_resolve_is_logged_once() -> None:
    log: list[dict[str, Any]] = []
    with delivering(Destination("nms.invalid"), log, find=nowhere) as delivery:
        for number in range(5):
            delivery.submit(text(number))
    assert (delivery.sent, delivery.dropped, delivery.problem) == (0, 5, Problem.NO_ADDRESS)
    assert [(entry["level"], entry["problem"], entry["detail"]) for entry in log] == [
        ("warning", Problem.NO_ADDRESS.value, "Name or service not known")
    ]


def test_a_port_where_nobody_listens_is_noticed() -> None:
    log: list[dict[str, Any]] = []
    with delivering(dead_end(), log) as delivery:
        outcome = Future[Outcome]()
        delivery.submit(text(1), outcome)
        assert outcome.result(5).problem is Problem.REFUSED
        for number in range(5):
            delivery.submit(text(number))
    assert len(log) == 1


def test_a_name_is_resolved_anew_and_its_last_address_serves_while_that_fails() -> None:
    now_s, asked = 0.0, 0
    (first, there), (second, elsewhere) = listener(), listener()
    places: list[Destination | None] = [there, None, elsewhere]

    def find(_: Destination) -> Address:
        nonlocal asked
        place = places[asked]
        asked += 1
        if place is None:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server")
        return socket.AF_INET, (HOST, place.port)

    log: list[dict[str, Any]] = []
    with first, second, delivering(Destination("nms.example"), log, find=find, clock_s=lambda: now_s) as delivery:
        for at_s, receiver, asked_by_then in (
            (0.0, first, 1),
            (200.0, first, 1),
            (301.0, first, 2),
            (310.0, first, 2),
            (362.0, second, 3),
        ):
            now_s = at_s
            delivery.submit(text(int(at_s)))
            assert int(receiver.recv(100)) == int(at_s)
            assert asked == asked_by_then
    assert log == []


def test_a_notification_that_cannot_be_made_does_not_end_the_sending() -> None:
    receiver, destination = listener()
    log: list[dict[str, Any]] = []

    def fragile(notification: Notification) -> bytes:
        if notification.message == "bad":
            raise OverflowError("too much")
        return b"good"

    delivery = Delivery(destination, fragile, recording_log(log))
    delivery.start()
    with receiver:
        delivery.submit(Notification(NotifyType.ERROR, "bad", 0))
        delivery.submit(Notification(NotifyType.ERROR, "good", 0))
        assert receiver.recv(100) == b"good"
    delivery.close()
    delivery.join(5)


def nowhere(_: Destination) -> Address:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_a_dead_destination_does_not_keep_the_others_from_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, alive = listener()
    log: list[dict[str, Any]] = []
    unknown, dead = Destination("nms.invalid"), dead_end()
    settings = TrapSettings((unknown, dead, alive))
    traps = Traps(settings, Start("00" * 16, 1, 1, 1), recording_log(log), lambda: 0.0)
    monkeypatch.setattr(traps.deliveries[0], "_find", nowhere)
    traps.start()
    with receiver:
        tested = {tested.destination: tested.outcome.problem for tested in await traps.test("Test")}
        assert tested == {unknown: Problem.NO_ADDRESS, dead: Problem.REFUSED, alive: None}
        assert b"Test" in receiver.recv(1000)
        traps.send(NotifyType.WARNING, "VDisk M1 peer has failed")
        assert b"VDisk M1 peer has failed" in receiver.recv(1000)
    traps.close()


async def test_a_name_server_that_does_not_answer_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    receiver, alive = listener()
    traps = Traps(
        TrapSettings((Destination("slow.invalid"), alive)), Start("00" * 16, 1, 1, 1), recording_log([]), lambda: 0.0
    )
    monkeypatch.setattr("twindisk.snmp.traps.TEST_LIMIT_S", 1.5)
    monkeypatch.setattr("twindisk.snmp.traps.CLOSE_LIMIT_S", 0.1)
    monkeypatch.setattr(traps.deliveries[0], "_find", lambda _: released.wait(20))
    traps.start()
    with receiver:
        tested = [tested.outcome.problem for tested in await traps.test("Test")]
        assert tested == [Problem.NO_ANSWER, None]
        assert b"Test" in receiver.recv(1000)
    traps.close()
    assert traps.deliveries[0].sent == 0, "closing does not wait for it either"
    released.set()


def test_traps_that_never_started_can_be_closed() -> None:
    Traps(TrapSettings((Destination(HOST),)), Start("00" * 16, 1, 1, 1), recording_log([]), lambda: 0.0).close()


def test_trouble_is_told_once_of_each_kind_and_its_end_after_a_quiet_while() -> None:
    health = Health()
    assert health.note(None, 0) is News.NOTHING
    assert health.note(Problem.REFUSED, 1) is News.TROUBLE
    assert health.note(Problem.NO_ADDRESS, 2) is News.TROUBLE
    assert [health.note(problem, 3) for problem in (Problem.REFUSED, None, Problem.NO_ADDRESS)] == [News.NOTHING] * 3
    assert health.note(None, 3 + QUIET_S - 1) is News.NOTHING
    assert health.note(None, 3 + QUIET_S) is News.RECOVERED
    assert health.problem is None
    assert health.note(Problem.REFUSED, 100) is News.TROUBLE
