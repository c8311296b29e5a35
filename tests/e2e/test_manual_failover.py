"""Active-passive with manual failover: when the Master is lost I/O waits, until the operator says that the Slave is to go on."""

import time

import pytest

from e2e.lab.initiator import (
    DEVICE,
    Stream,
    all_ready,
    disks,
    log_in,
    sectors_written,
    settings_that_queue,
    sha256,
    sha256_through_each_path,
    wait_for_paths,
)
from e2e.lab.lab import Lab
from e2e.lab.pair import Pair, Standing, manual_check, standing

pytestmark = pytest.mark.timeout(900)

UNANSWERED_S = 20
ANSWERS = 3


@pytest.mark.promise("P1", "P2", "P6")
def test_dd_waits_until_the_operator_makes_the_slave_master(lab: Lab) -> None:
    pair = Pair(lab, {node.name: manual_check(node) for node in (lab.vm10, lab.vm11)}, size_gib=2)
    lab.vm10.run("twindisk vdisk set M1 --access active-passive")
    guest = lab.vm12
    settings = settings_that_queue()
    settings = settings.replace("multibus", "group_by_prio").replace("prio const", "prio alua")
    guest.put("/etc/multipath.conf", settings)
    guest.run("multipathd reconfigure")
    log_in(guest)
    wait_for_paths(guest, all_ready, "two paths")
    guest.run(f"mkfs.ext4 -q {DEVICE} && mount {DEVICE} /mnt", timeout_s=120)

    stream = Stream(guest, 30)
    dd = stream.write("/mnt/file")
    time.sleep(2)
    assert not dd.done, "dd was over before the panic"
    lab.vm10.panic()

    time.sleep(10)  # the initiator's own timers run out
    before = sectors_written(guest)
    time.sleep(UNANSWERED_S)
    assert not dd.done, dd.output
    assert sectors_written(guest) == before, "somebody took writes that nobody had decided about"
    waiting = standing(lab.vm11)
    assert waiting is not None
    assert waiting.role == "Slave"

    lab.vm11.run("qsync -s M1 -m master")
    pair.wait_for({"vm11": Standing("Master", "Disabled")}, within_s=15)
    result = dd.wait(240)
    assert result.status == 0, result.output
    assert sectors_written(guest)["vm11"] > before["vm11"]

    lab.vm10.start()
    lab.vm10.plug("eth1", up=False)
    lab.vm10.start_daemon()
    lab.vm10.wait_ready()
    assert_serves_nothing(lab, "vm10")
    lab.vm10.plug("eth1", up=True)
    pair.wait_for({"vm10": Standing("Slave", "Enabled"), "vm11": Standing("Master", "Enabled")})
    wait_for_paths(guest, all_ready, "two paths")
    assert sha256(guest, "/mnt/file") == stream.sha256
    sums = sha256_through_each_path(guest, "/mnt", "file")
    assert sums == {"vm10": stream.sha256, "vm11": stream.sha256}


def assert_serves_nothing(lab: Lab, node: str) -> None:
    """Try to read through a node whose copy is old and which cannot reach its peer: it must say that it is not ready."""
    disk = disks(lab.vm12)[node]
    answers: list[str] = []
    end = time.monotonic() + 90
    while sum("not ready" in answer for answer in answers) < ANSWERS:
        assert time.monotonic() < end, answers
        # One READ command, which nobody repeats.
        read = lab.vm12.run(f"sg_dd if=/dev/{disk} of=/dev/null blk_sgio=1 bs=512 count=8", check=False)
        assert read.status != 0, "an old copy was served"
        answers.append(read.output.lower())
        time.sleep(1)
    told = standing(lab.vm10)
    assert told is not None
    assert told.status == "Peer wait"
