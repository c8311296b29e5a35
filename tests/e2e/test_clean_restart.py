"""A clean restart of each node in turn, as an upgrade does it: handed over without fencing, while the initiator goes on writing."""

import pytest

from e2e.lab.initiator import DEVICE, Stream, all_ready, log_in, sha256_through_each_path, wait_for_paths
from e2e.lab.lab import Lab
from e2e.lab.pair import Pair, Standing, bmcs, fence_check

pytestmark = pytest.mark.timeout(600)


@pytest.mark.promise("P1", "P4", "P7", "P8")
def test_dd_goes_on_while_each_node_is_restarted(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    with bmcs(lab, tmp_path_factory.mktemp("boards")) as boards:
        pair = Pair(lab, {node.name: fence_check(node) for node in (lab.vm10, lab.vm11)}, size_gib=2)
        guest = lab.vm12
        log_in(guest)
        wait_for_paths(guest, all_ready, "two paths")
        guest.run(f"mkfs.ext4 -q {DEVICE} && mount {DEVICE} /mnt", timeout_s=120)

        stream = Stream(guest, 100)
        dd = stream.write("/mnt/file")
        for node, other in (pair.nodes, pair.nodes[::-1]):
            node.stop_daemon()
            assert not dd.done, dd.output
            pair.wait_for({other.name: Standing("Master", "Disabled")})
            node.start_daemon()
            node.wait_ready()
            pair.wait_for({other.name: Standing("Master", "Enabled"), node.name: Standing("Slave", "Enabled")})
            wait_for_paths(guest, all_ready, "two paths")

        result = dd.wait(240)
        assert result.status == 0, result.output
        assert all(board.resets == [] for board in boards.values()), "a clean restart fenced"
        sums = sha256_through_each_path(guest, "/mnt", "file")
        assert sums == {"vm10": stream.sha256, "vm11": stream.sha256}
