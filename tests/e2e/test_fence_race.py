"""A cut mirror cable while both nodes live and both can fence: the Master wins, the Slave is switched off, and I/O goes on."""

import time
from pathlib import Path

import pytest

from e2e.lab.initiator import DEVICE, Stream, all_ready, log_in, sha256, sha256_through_each_path, wait_for_paths
from e2e.lab.lab import Lab
from e2e.lab.pair import MIRROR_ADDRESSES, Pair, Standing, bmcs, fence_check

pytestmark = pytest.mark.timeout(600)

HEAD_START_MS = 4000
"""Longer than the agent takes to switch a node off on a busy machine, as docs/operating/fencing.md has it."""


@pytest.mark.promise("P1", "P2", "P7")
def test_of_two_live_nodes_that_fence_each_other_the_master_wins(lab: Lab, tmp_path: Path) -> None:
    with bmcs(lab, tmp_path) as power:
        pair = Pair(lab, {node.name: fence_check(node) for node in (lab.vm10, lab.vm11)}, size_gib=1)
        lab.vm11.stop_daemon()
        lab.vm11.put("/etc/twindisk/ndrecv.conf", f"RecvAddr={MIRROR_ADDRESSES['vm11']}\nHeadStartMs={HEAD_START_MS}\n")
        lab.vm11.start_daemon()
        pair.wait_for({"vm10": Standing("Master", "Enabled"), "vm11": Standing("Slave", "Enabled")})
        guest = lab.vm12
        log_in(guest)
        wait_for_paths(guest, all_ready, "two paths")
        guest.run(f"mkfs.ext4 -q {DEVICE} && mount {DEVICE} /mnt", timeout_s=120)

        stream = Stream(guest, 20)
        dd = stream.write("/mnt/file")
        time.sleep(1)
        assert not dd.done, "dd was over before the cable was cut"
        lab.vm11.plug("eth1", up=False)
        pair.wait_for({"vm10": Standing("Master", "Disabled")}, within_s=30)
        result = dd.wait(180)
        assert result.status == 0, result.output
        assert power["vm11"].resets == ["ForceOff"]
        assert not lab.vm11.running
        assert power["vm10"].resets == []
        assert "fencing the peer" not in lab.vm11.log()

        power["vm11"].switch_on()
        lab.vm11.start_daemon()
        pair.wait_for({"vm10": Standing("Master", "Enabled"), "vm11": Standing("Slave", "Enabled")})
        wait_for_paths(guest, all_ready, "two paths")
        assert sha256(guest, "/mnt/file") == stream.sha256
        sums = sha256_through_each_path(guest, "/mnt", "file")
        assert sums == {"vm10": stream.sha256, "vm11": stream.sha256}
