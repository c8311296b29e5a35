"""A cut mirror cable while no fence works: neither node goes on, I/O waits, and goes on where it was once the cable is back."""

import time
from pathlib import Path

import pytest

from e2e.lab.bmc import Mood
from e2e.lab.initiator import (
    DEVICE,
    Stream,
    all_ready,
    log_in,
    sectors_written,
    settings_that_queue,
    sha256,
    sha256_through_each_path,
    wait_for_paths,
)
from e2e.lab.lab import Lab
from e2e.lab.pair import Pair, Standing, bmcs, fence_check

pytestmark = pytest.mark.timeout(900)

UNANSWERED_S = 20


@pytest.mark.promise("P1", "P2", "P4", "P6")
def test_io_waits_while_both_nodes_are_slaves_and_goes_on_when_the_cable_is_back(lab: Lab, tmp_path: Path) -> None:
    with bmcs(lab, tmp_path) as power:
        pair = Pair(lab, {node.name: fence_check(node) for node in (lab.vm10, lab.vm11)}, size_gib=2)
        guest = lab.vm12
        guest.put("/etc/multipath.conf", settings_that_queue())
        guest.run("multipathd reconfigure")
        log_in(guest)
        wait_for_paths(guest, all_ready, "two paths")
        guest.run(f"mkfs.ext4 -q {DEVICE} && mount {DEVICE} /mnt", timeout_s=120)
        for bmc in power.values():
            bmc.mood = Mood.REFUSES

        stream = Stream(guest, 30)
        dd = stream.write("/mnt/file")
        time.sleep(2)
        assert not dd.done, "dd was over before the cable was cut"
        lab.vm10.plug("eth1", up=False)
        pair.wait_for({"vm10": Standing("Slave", "Disabled"), "vm11": Standing("Slave", "Disabled")}, within_s=45)
        for node in pair.nodes:
            assert "Fencing VDisk M1 peer failed. Cannot take over as master" in node.log()
        for bmc in power.values():
            assert bmc.asked, f"nobody asked the BMC of {bmc.name}"
            assert bmc.resets == []

        before = sectors_written(guest)
        time.sleep(UNANSWERED_S)
        assert not dd.done, dd.output
        assert sectors_written(guest) == before, "somebody took writes without knowing of the other"

        lab.vm10.plug("eth1", up=True)
        result = dd.wait(240)
        assert result.status == 0, result.output
        eventual = {"vm10": Standing("Master", "Enabled"), "vm11": Standing("Slave", "Enabled")}
        pair.wait_for(eventual)
        wait_for_paths(guest, all_ready, "two paths")
        assert all(node.running for node in pair.nodes)
        assert sha256(guest, "/mnt/file") == stream.sha256
        sums = sha256_through_each_path(guest, "/mnt", "file")
        assert sums == {"vm10": stream.sha256, "vm11": stream.sha256}
