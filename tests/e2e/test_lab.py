"""The lab itself: what the other tests take for granted."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.image.guest import GuestImage
from e2e.image.node import NodeRoot
from e2e.lab.command import TIMED_OUT, Host, LabError, Result, eventually
from e2e.lab.lab import LABS, Lab, remove_leftovers, running_lab
from e2e.lab.network import NAMESPACES

pytestmark = pytest.mark.timeout(600)

PING = "ping -c 1 -W 1 "


@pytest.fixture(params=["vm10", "vm12"])
def host(lab: Lab, request: pytest.FixtureRequest) -> Host:
    """A node, then a guest: commands are the same on both."""
    found: Host = getattr(lab, request.param)
    return found


def test_a_command_tells_its_exit_status_and_all_its_output(host: Host) -> None:
    assert host.run("echo out; echo err >&2") == Result(0, "out\nerr\n")
    assert host.run("exit 7", check=False).status == 7
    assert host.run("no-such-command", check=False).status == 127
    assert host.run("kill -9 $$", check=False).status == 128 + 9
    assert host.run("hostname").output == f"{host.name}\n"


def test_a_command_that_must_succeed_shows_what_it_said(host: Host) -> None:
    with pytest.raises(LabError, match=r"(?s)echo reason; false.*exit status 1.*reason"):
        host.run("echo reason; false")


def test_a_command_whose_time_is_up_is_ended_and_leaves_its_output(host: Host) -> None:
    begun = time.monotonic()
    result = host.run("echo begun; sleep 1234", check=False, timeout_s=2)
    assert result == Result(TIMED_OUT, "begun\n")
    assert time.monotonic() - begun < 10
    eventually(lambda: host.run("ps ax | grep '[s]leep 1234'", check=False).status == 1, "sleep is gone", within_s=5)


def test_a_child_in_the_background_holds_nobody_up(host: Host) -> None:
    begun = time.monotonic()
    assert host.run("sleep 30 & echo started") == Result(0, "started\n")
    assert time.monotonic() - begun < 10


def test_many_commands_run_at_once(host: Host) -> None:
    begun = time.monotonic()
    jobs = [host.spawn(f"sleep 3; echo {number}") for number in range(8)]
    assert [job.wait(30) for job in jobs] == [Result(0, f"{number}\n") for number in range(8)]
    assert time.monotonic() - begun < 16  # not one after the other


def test_files_go_in_and_come_out_byte_by_byte(lab: Lab) -> None:
    data = bytes(range(256)) * 8192
    for host in (lab.vm10, lab.vm12):
        host.put("/var/new folder/file", data, mode=0o750)
        assert host.get("/var/new folder/file") == data
        assert host.run("stat -c %a '/var/new folder/file'").output == "750\n"
        with pytest.raises(LabError, match="No such file"):
            host.get("/var/nothing")


def test_much_output_arrives_whole(lab: Lab) -> None:
    assert lab.vm12.run("head -c 5000000 /dev/zero | tr '\\0' x").output == "x" * 5_000_000


def test_everybody_reaches_everybody(lab: Lab) -> None:
    for address in ("10.0.13.100", "10.0.13.101", "10.0.13.33", "10.0.13.110", "10.0.13.111", "10.0.13.200"):
        for host in (lab.vm10, lab.vm11, lab.monitor, lab.vm12):
            assert host.run(PING + address, check=False).status == 0, f"{host.name} -> {address}"


def test_a_cut_cable_gives_no_answer_and_cuts_nothing_else(lab: Lab) -> None:
    lab.vm10.plug("eth0", up=False)
    assert lab.vm12.run(PING + "10.0.13.100", check=False).status == 1
    assert lab.vm12.run(PING + "10.0.13.101", check=False).status == 0
    assert lab.vm11.run(PING + "10.0.13.150", check=False).status == 0
    lab.vm10.plug("eth0", up=True)
    eventually(lambda: lab.vm12.run(PING + "10.0.13.100", check=False).status == 0, "vm10 answers", within_s=10)

    lab.vm10.plug("eth1", up=False)
    assert lab.vm11.run(PING + "10.0.13.150", check=False).status == 1, (
        "mirror traffic found a way over the clients' network"
    )
    assert lab.vm12.run(PING + "10.0.13.100", check=False).status == 0
    lab.vm10.plug("eth1", up=True)
    eventually(lambda: lab.vm11.run(PING + "10.0.13.150", check=False).status == 0, "vm10 answers", within_s=10)

    lab.vm12.plug(up=False)
    assert lab.vm11.run(PING + "10.0.13.200", check=False).status == 1
    lab.vm12.plug(up=True)


def test_a_node_sees_only_its_own_processes_and_devices(lab: Lab) -> None:
    processes = lab.vm10.run("ps -e -o comm=").output.split()
    assert "pytest" not in processes
    assert len(processes) < 10
    assert lab.vm10.run(f"test -b {lab.vm10.block_device}").status == 0
    assert lab.vm10.run(f"test -e {lab.vm11.block_device}", check=False).status == 1


def test_a_node_cannot_stop_the_kernel_that_it_shares(lab: Lab) -> None:
    # "h" shows a help text at most. Some kernels have no such file.
    assert lab.vm10.run("echo h > /proc/sysrq-trigger", check=False).status != 0
    shown = lab.vm10.run("ls /sys/block").output.split()
    assert shown == [lab.vm10.block_device.name], "disks of others"


LISTEN = """python3 -c '
import socket, time
listener = socket.create_server(("10.0.13.100", 5000))
connection, _ = listener.accept()
time.sleep(600)'"""
TALK = """python3 -c '
import socket, time
connection = socket.create_connection(("10.0.13.100", 5000))
print("connected", flush=True)
connection.settimeout(%d)
try:
    print("closed" if connection.recv(1) == b"" else "talk")
except TimeoutError:
    print("silence")
except ConnectionResetError:
    print("reset")'"""


def connected(lab: Lab, patience_s: int) -> Callable[[], str]:
    """Connect vm11 to a server on vm10; return a function that waits for the last thing that vm11 heard."""
    lab.vm10.spawn(LISTEN)
    eventually(lambda: "5000" in lab.vm10.run("ss -tln").output, "vm10 listens")
    talk = lab.vm11.spawn(TALK % patience_s)
    eventually(lambda: "connected" in talk.output, "vm11 is connected")
    return lambda: talk.wait(30).output.split()[-1]


def test_a_killed_process_is_heard_of(lab: Lab) -> None:
    last_words = connected(lab, 10)
    lab.vm10.run("kill -KILL $(ps -e -o pid=,args= | awk '/[c]reate_server/ && !/sh -c/ { print $1 }')")
    assert last_words() in {"reset", "closed"}


def test_a_panic_is_silent_and_ends_every_process(lab: Lab) -> None:
    last_words = connected(lab, 5)
    lab.vm10.put("/srv/kept", "written before the panic")
    lab.vm10.put("/run/lost", "only in memory")
    space = Path(f"/proc/{lab.vm10.init_pid}/ns/pid").readlink()
    assert len(processes_of(space)) >= 2

    lab.vm10.panic()
    assert processes_of(space) == []
    assert not lab.vm10.running
    assert last_words() == "silence"
    with pytest.raises(LabError, match="vm10 is off"):
        lab.vm10.run("true")

    lab.vm10.start()
    assert lab.vm10.get("/srv/kept") == b"written before the panic"
    assert lab.vm10.run("test -e /run/lost", check=False).status == 1
    assert lab.vm10.run("ss -tn").output.count("\n") == 1, "connections of its former life"
    eventually(lambda: lab.vm11.run(PING + "10.0.13.150", check=False).status == 0, "vm10 answers", within_s=10)


def processes_of(space: Path) -> list[str]:
    """Return the processes (by id) in a process id namespace."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "ns/pid").readlink() == space:
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_a_daemon_starts_answers_and_ends(lab: Lab) -> None:
    assert lab.vm11.run("twindisk status", check=False).status != 0
    lab.vm11.put("/etc/twindisk/ndrecv.conf", "RecvAddr=10.0.13.151\n")
    lab.vm11.run("twindisk node secret")
    lab.vm11.start_daemon()
    lab.vm11.wait_ready()
    assert "Recv Inited" in lab.vm11.run("/quadstor/bin/ndconfig").output
    assert "node is up" in lab.vm11.log()
    lab.vm11.stop_daemon()
    assert lab.vm11.run("ps -e -o args= | grep '[t]windiskd'", check=False).status == 1

    lab.vm11.start_daemon()
    lab.vm11.wait_ready()
    lab.vm11.kill_daemon()
    eventually(lambda: lab.vm11.run("twindisk status", check=False).status != 0, "the daemon is dead", within_s=5)


def test_a_guest_that_panics_is_noticed(lab: Lab) -> None:
    waiting = lab.vm12.spawn("sleep 600")
    lab.vm12.spawn("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
    assert waiting.wait(30).status == 255
    assert not lab.vm12.running
    assert "sysrq triggered crash" in lab.vm12.console().lower()
    lab.vm12.stop()
    lab.vm12.start()
    assert lab.vm12.run("echo again").output == "again\n"


def test_two_labs_know_nothing_of_each_other_and_nothing_is_left_of_one(
    lab: Lab, images: tuple[GuestImage, NodeRoot]
) -> None:
    with running_lab(images) as other:
        assert other.prefix != lab.prefix
        other.vm10.plug("eth0", up=False)
        assert lab.monitor.run(PING + "10.0.13.100", check=False).status == 0
        assert other.monitor.run(PING + "10.0.13.100", check=False).status == 1
        spaces = [Path(f"/proc/{machine.init_pid}/ns/pid").readlink() for machine in other.machines]
        assert all(processes_of(space) for space in spaces)
        prefix = other.prefix
    assert left_of(prefix) == []
    assert [path for path in LABS.iterdir() if path.name.startswith(prefix)] == []
    assert [processes_of(space) for space in spaces] == [[], [], []]
    assert lab.monitor.run(PING + "10.0.13.100", check=False).status == 0


def left_of(prefix: str) -> list[str]:
    """Return what is left of a lab: namespaces and loop devices."""
    loops = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True).stdout
    return [path.name for path in NAMESPACES.glob(f"{prefix}*")] + re.findall(rf".*{LABS / prefix}/.*", loops)


SHORT_LIFE = """
import time
from e2e.lab.lab import build_images, running_lab
with running_lab(build_images()) as lab:
    lab.vm12.run("true")
    print(lab.prefix, *(machine.init_pid for machine in lab.machines), lab.vm12.process_id, flush=True)
    time.sleep(600)
"""


def test_a_killed_test_process_takes_its_machines_along_and_the_next_lab_cleans_up(
    images: tuple[GuestImage, NodeRoot],
) -> None:
    tests = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", SHORT_LIFE],
        env={**os.environ, "PYTHONPATH": str(tests)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        prefix, *machines = process.stdout.readline().split()
        assert len(machines) == 4
        process.send_signal(signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in machines), "all machines are gone", within_s=10)
    assert left_of(prefix) != []
    remove_leftovers()
    eventually(lambda: left_of(prefix) == [], "nothing is left", within_s=10)
    assert [path for path in LABS.iterdir() if path.name.startswith(prefix)] == []
