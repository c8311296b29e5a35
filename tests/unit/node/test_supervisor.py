"""What the daemon tells the service manager that started it."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from twindisk.node.log import writes_to_journal
from twindisk.node.supervisor import Supervisor

PID = 4711


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "notify"))
        door.settimeout(5)
        yield door


def test_the_service_manager_hears_when_the_node_serves_and_when_it_ends(manager: socket.socket) -> None:
    supervisor = Supervisor.from_environment({"NOTIFY_SOCKET": manager.getsockname()}, PID)
    supervisor.ready()
    supervisor.stopping()
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind("\0twindisk-test-notify")
        door.settimeout(5)
        Supervisor("@twindisk-test-notify", None).ready()
        assert door.recv(100) == b"READY=1"


async def test_signs_of_life_come_well_within_the_time_allowed(manager: socket.socket) -> None:
    told = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(PID)}
    supervisor = Supervisor.from_environment(told, PID)
    with suppress(TimeoutError):
        await asyncio.wait_for(supervisor.show_life(), 0.35)
    manager.setblocking(False)
    signs = []
    with suppress(BlockingIOError):
        while True:
            signs.append(manager.recv(100))
    assert len(signs) >= 3
    assert set(signs) == {b"WATCHDOG=1"}


async def test_without_a_watchdog_no_sign_of_life_is_given() -> None:
    for environment in (
        {},
        {"WATCHDOG_USEC": "300000"},
        {"NOTIFY_SOCKET": "/nowhere"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"},
    ):
        await asyncio.wait_for(Supervisor.from_environment(environment, PID).show_life(), 1)


def test_fence_commands_do_not_inherit_the_door_to_the_service_manager() -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    Supervisor.from_environment(environment, PID)
    assert environment == {"PATH": "/bin"}


def test_a_service_manager_that_does_not_listen_harms_nobody() -> None:
    Supervisor("/nowhere/notify", None).ready()
    Supervisor(None, None).ready()


def test_the_journal_is_recognised_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        facts = os.fstat(stream.fileno())
        told = {"JOURNAL_STREAM": f"{facts.st_dev}:{facts.st_ino}"}
        assert writes_to_journal(stream.fileno(), told)
        assert not writes_to_journal(stream.fileno(), {"JOURNAL_STREAM": f"{facts.st_dev}:{facts.st_ino + 1}"})
        assert not writes_to_journal(stream.fileno(), {})
