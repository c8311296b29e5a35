"""Two clients at once: OCFS2 on one VDisk, mounted by two Linux machines through both nodes, and a node dies under them."""

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from e2e.lab.bmc import Bmc
from e2e.lab.command import Job, LabError
from e2e.lab.guest import Guest
from e2e.lab.initiator import all_ready, disks, log_in, sectors_written, wait_for_paths
from e2e.lab.lab import Lab
from e2e.lab.pair import Pair, Standing, bmcs, fence_check, standing
from e2e.two_clients import cluster

pytestmark = pytest.mark.timeout(900)

WORKER = Path(__file__).parent / "two_clients" / "worker.py"
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


@pytest.mark.promise("P1", "P2", "P3", "P4", "P7")
def test_two_clients_share_a_file_system_across_the_death_of_a_node(lab: Lab, tmp_path: Path) -> None:
    with bmcs(lab, tmp_path) as power:
        pair = Pair(lab, {node.name: fence_check(node) for node in (lab.vm10, lab.vm11)}, size_gib=0.5)
        for node in pair.nodes:
            node.run("twindisk check test --status")
        guests = (lab.vm12, lab.vm13)
        try:
            share_across_a_death(lab, pair, power, guests)
        finally:
            for guest in guests:
                print(f"--- {guest.name}\n{guest.console()[-2000:]}")


def share_across_a_death(lab: Lab, pair: Pair, power: dict[str, Bmc], guests: tuple[Guest, Guest]) -> None:
    for guest in guests:
        log_in(guest)
        wait_for_paths(guest, all_ready, "two paths")
        cluster.register(guest, ADDRESSES)
    cluster.make_file_system(lab.vm12, DEVICE)
    cluster.mount(guests, DEVICE, SHARED)
    clients = [start_worker(guest) for guest in guests]
    all_draw(clients, STEPS)
    for guest in guests:
        assert min(sectors_written(guest).values()) > 0

    lab.vm10.panic()
    all_draw(clients, STEPS)
    assert power["vm10"].resets == ["ForceOff"]
    assert power["vm11"].resets == []
    assert standing(lab.vm11) == Standing("Master", "Disabled")

    power["vm10"].switch_on()
    lab.vm10.start_daemon()
    pair.wait_for({"vm10": Standing("Slave", "Enabled"), "vm11": Standing("Master", "Enabled")})
    for guest in guests:
        wait_for_paths(guest, all_ready, "two paths")
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
    whole = " ".join(f"/dev/{disk}" for disk in disks(guest).values())
    guest.run(f"blockdev --flushbufs {whole}; echo 3 > /proc/sys/vm/drop_caches; cmp {whole}", timeout_s=240)
