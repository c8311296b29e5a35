"""Two clients at once: OCFS2 on one VDisk, mounted by two Linux machines through both nodes, and a node dies under them."""

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from e2e.lab.bmc import Bmc, Login
from e2e.lab.command import Job, LabError, eventually
from e2e.lab.guest import Guest
from e2e.lab.lab import BMC_ADDRESSES, Lab
from e2e.lab.machine import Machine
from e2e.two_clients import cluster

pytestmark = pytest.mark.timeout(900)

WORKER = Path(__file__).parent / "two_clients" / "worker.py"
LOGIN = Login("fence", "thunder")
ADDRESSES = {"vm12": "10.0.13.200", "vm13": "10.0.13.201"}
DEVICE, SHARED, STOP = "/dev/mapper/mpatha", "/shared", "/run/stop"
STEPS = 40
"""Numbers that each client draws before the panic, while the node is dead, and after its return."""
LONGEST_PAUSE_S = 40


@dataclass
class Client:
    """A guest and its worker."""

    guest: Guest
    job: Job
    drawn: list[tuple[int, float]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def look(self) -> int:
        """Read what the worker has printed; return how many numbers it drew."""
        whole = self.job.output
        lines = whole[: whole.rfind("\n") + 1].splitlines()
        words = [line.split() for line in lines]
        self.drawn = [(int(line[1]), float(line[2])) for line in words if line[0] == "drew"]
        self.files = {line[1]: line[2] for line in words if line[0] == "wrote"}
        unknown = [line for line in lines if line.split()[0] not in ("drew", "wrote")]
        assert unknown == [], f"{self.guest.name}: {unknown}"
        return len(self.drawn)

    def longest_pause_s(self) -> float:
        times = [at_s for _, at_s in self.drawn]
        return max(later - earlier for earlier, later in itertools.pairwise(times))


@pytest.fixture
def bmcs(lab: Lab, tmp_path: Path) -> Iterator[dict[str, Bmc]]:
    made = {
        machine.name: Bmc(machine.name, LOGIN, power_off=machine.panic, power_on=machine.start)
        for machine in (lab.vm10, lab.vm11)
    }
    try:
        for name, bmc in made.items():
            bmc.start(lab.network.listen(BMC_ADDRESSES[name], 443), tmp_path / name)
        yield made
    finally:
        for name, bmc in made.items():
            bmc.stop()
            print(f"--- the BMC of {name}", *bmc.asked, sep="\n")
        for guest in (lab.vm12, lab.vm13):
            print(f"--- {guest.name}\n{guest.console()[-2000:]}")


@pytest.mark.promise("P1", "P2", "P3", "P4", "P7")
def test_two_clients_share_a_file_system_across_the_death_of_a_node(lab: Lab, bmcs: dict[str, Bmc]) -> None:
    set_up_mirror(lab)
    guests = (lab.vm12, lab.vm13)
    for guest in guests:
        log_in(guest)
        cluster.register(guest, ADDRESSES)
    cluster.make_file_system(lab.vm12, DEVICE)
    cluster.mount(guests, DEVICE, SHARED)
    clients = [start_worker(guest) for guest in guests]
    all_draw(clients, STEPS)
    assert all(writes > 0 for guest in guests for writes in writes_by_path(guest))

    lab.vm10.panic()
    all_draw(clients, STEPS)
    assert bmcs["vm10"].resets == ["ForceOff"]
    assert bmcs["vm11"].resets == []
    assert mirror_is(lab.vm11, "Master", "Disabled")

    bmcs["vm10"].switch_on()
    lab.vm10.start_daemon()
    eventually(lambda: all(mirror_is(node, "", "Enabled") for node in (lab.vm10, lab.vm11)), "Enabled", within_s=60)
    for guest in guests:
        wait_for_paths(guest)
    all_draw(clients, STEPS)

    finish(clients)
    check_counter_and_list(clients)
    check_each_others_files(clients)
    for client in clients:
        pause_s = client.longest_pause_s()
        print(
            f"{client.guest.name}: {len(client.drawn)} numbers, {len(client.files)} files, longest pause {pause_s:.1f} s"
        )
        assert pause_s < LONGEST_PAUSE_S
        client.guest.run(f"umount {SHARED}", timeout_s=120)
    check_disk(lab.vm12)


def set_up_mirror(lab: Lab) -> None:
    lab.vm10.run("twindisk node secret")
    lab.vm11.put("/etc/twindisk/secret", lab.vm10.get("/etc/twindisk/secret"), mode=0o600)
    nodes = ((lab.vm10, "10.0.13.150"), (lab.vm11, "10.0.13.151"))
    for node, address in nodes:
        node.put("/etc/twindisk/ndrecv.conf", f"RecvAddr={address}\n")
        node.start_daemon()
    for (node, _), (peer, peer_address) in (nodes, nodes[::-1]):
        node.wait_ready()
        login = f"-l {LOGIN.user} -p {LOGIN.password}"
        agent = f"/usr/sbin/fence_redfish -a {BMC_ADDRESSES[peer.name]} {login} --ssl-insecure -o off"
        node.run(f"qmirrorcheck -a -t fence -r {peer_address} -v '{agent}'")
        node.run(f"spconfig -a -g HAPOOL && bdconfig -a -d {node.block_device} -g HAPOOL --yes")
    lab.vm10.run("vdconfig -a -v M1 -s 0.5 -g HAPOOL && qsync -s M1 -d M1 -r 10.0.13.151 -g HAPOOL")
    eventually(lambda: mirror_is(lab.vm10, "Master", "Enabled") and mirror_is(lab.vm11, "Slave", "Enabled"), "Enabled")
    for node, _ in nodes:
        node.run("twindisk check test --status")


def mirror_is(node: Machine, role: str, status: str) -> bool:
    """Say whether qsync -l shows M1 with this role ('': any) and status."""
    rows = [line.split(None, 5) for line in node.run("qsync -l", check=False).output.splitlines()]
    found = [(row[4], row[5].strip()) for row in rows if row[:1] == ["M1"]]
    return len(found) == 1 and role in ("", found[0][0]) and status == found[0][1]


def log_in(guest: Guest) -> None:
    for portal in ("10.0.13.100", "10.0.13.101"):
        guest.run(f"iscsiadm -m discovery -t st -p {portal}")
    guest.run("iscsiadm -m node -l")
    wait_for_paths(guest)


def wait_for_paths(guest: Guest) -> None:
    def both_active() -> bool:
        return guest.run("multipath -ll", timeout_s=30).output.count("active ready running") == 2

    eventually(both_active, f"two paths on {guest.name}", within_s=60, every_s=1)


def writes_by_path(guest: Guest) -> list[int]:
    """How many writes each path's disk has had (field 5 of /sys/block/*/stat)."""
    return [int(line.split()[4]) for line in guest.run("cat /sys/block/sd*/stat").output.splitlines()]


def start_worker(guest: Guest) -> Client:
    guest.put("/opt/worker.py", WORKER.read_bytes())
    return Client(guest, guest.spawn(f"exec python3 /opt/worker.py {guest.name} {SHARED} {STOP}"))


def all_draw(clients: list[Client], steps: int, within_s: float = 120) -> None:
    """Wait until every client drew so many more numbers."""
    wanted = [client.look() + steps for client in clients]
    end = time.monotonic() + within_s
    while any(client.look() < number for client, number in zip(clients, wanted, strict=True)):
        for client in clients:
            assert client.guest.running, f"{client.guest.name} is gone: {client.guest.console()[-3000:]}"
            assert not client.job.done, f"{client.guest.name}: {client.job.output[-2000:]}"
        if time.monotonic() > end:
            message = f"not within {within_s:g} s: {wanted} numbers, but {[client.look() for client in clients]}"
            raise LabError(message)
        time.sleep(0.5)


def finish(clients: list[Client]) -> None:
    for client in clients:
        client.guest.run(f"touch {STOP}")
    for client in clients:
        result = client.job.wait(60)
        assert result.status == 0, f"{client.guest.name}: {result.output[-2000:]}"
        client.look()


def check_counter_and_list(clients: list[Client]) -> None:
    """No number was drawn twice or lost, and both clients see the same counter and list."""
    drawn = sorted(number for client in clients for number, _ in client.drawn)
    assert drawn == list(range(1, len(drawn) + 1))
    listed = sorted(f"{client.guest.name} {number}" for client in clients for number, _ in client.drawn)
    for client in clients:
        client.guest.run("sync; echo 3 > /proc/sys/vm/drop_caches")
        assert int(client.guest.get(f"{SHARED}/counter")) == len(drawn)
        assert sorted(client.guest.get(f"{SHARED}/list").decode().splitlines()) == listed


def check_each_others_files(clients: list[Client]) -> None:
    """Each client reads what the other one wrote."""
    for reader, writer in (clients, clients[::-1]):
        assert writer.files
        sums = "".join(f"{checksum}  {path}\n" for path, checksum in writer.files.items()).encode()
        checked = reader.guest.run("sha256sum --check --strict", standard_input=sums, timeout_s=120)
        assert checked.output.count(": OK") == len(writer.files)


def check_disk(guest: Guest) -> None:
    """The file system is clean, and both copies are equal, each read through its own path."""
    checked = guest.run(f"fsck.ocfs2 -fn {DEVICE}", timeout_s=180)
    assert "All passes succeeded" in checked.output, checked.output
    paths = re.findall(r"\bsd[a-z]\b", guest.run("multipath -ll").output)
    assert len(paths) == 2
    whole = " ".join(f"/dev/{path}" for path in paths)
    guest.run(f"blockdev --flushbufs {whole}; echo 3 > /proc/sys/vm/drop_caches; cmp {whole}", timeout_s=240)
