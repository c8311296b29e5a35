"""Active-passive: the initiator uses the Master's path alone, until the Master is lost or the roles are switched."""

import re
import time
from pathlib import Path

import pytest

from e2e.lab.guest import Guest
from e2e.lab.initiator import (
    DEVICE,
    Stream,
    all_ready,
    log_in,
    paths,
    sectors_written,
    sha256,
    sha256_through_each_path,
    wait_for_paths,
)
from e2e.lab.lab import Lab
from e2e.lab.pair import Pair, Standing, bmcs, fence_check

pytestmark = pytest.mark.timeout(900)

PAGE = Path(__file__).parents[2] / "docs/operating/access-modes.md"
SECTORS_OF_CHATTER = 2048
"""What a path may be given by others than dd: the file system's own writes in the moment in which paths swap."""
PIECES = 30
BYTES = PIECES * (4 << 20)


def settings_of_the_page() -> str:
    """Return multipath.conf with the settings that the page recommends."""
    (device,) = re.findall(r"^```\n(device \{\n.*?\n\})\n```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    defaults = "user_friendly_names yes\nfind_multipaths no\npolling_interval 1\nmax_polling_interval 2\n"
    return f'defaults {{\n{defaults}}}\ndevices {{\n{device}\n}}\nblacklist {{\ndevnode "^(vd|sr|loop|ram|fd)"\n}}\n'


def wait_until_io_goes_to(guest: Guest, node: str) -> None:
    """Wait until multipath has one active group, of the better priority, with this node's path alone."""
    wait_for_paths(
        guest,
        lambda found: (
            all_ready(found)
            and {name: path.group_status for name, path in found.items() if path.group_status == "active"}
            == {node: "active"}
            and found[node].group_priority == max(path.group_priority for path in found.values())
            and len({path.group_priority for path in found.values()}) == 2
        ),
        f"I/O goes to {node} alone",
    )


def written_by_dd(guest: Guest, stream: Stream, file: str) -> dict[str, int]:
    """Let dd write a file and return how many sectors went to each node for it."""
    before = sectors_written(guest)
    result = stream.write(file).wait(180)
    assert result.status == 0, result.output
    after = sectors_written(guest)
    return {node: after[node] - before[node] for node in after}


@pytest.mark.promise("P1", "P4", "P7")
def test_io_follows_the_master(lab: Lab, tmp_path: Path) -> None:
    with bmcs(lab, tmp_path) as power:
        pair = Pair(lab, {node.name: fence_check(node) for node in (lab.vm10, lab.vm11)}, size_gib=2)
        lab.vm10.run("twindisk vdisk set M1 --access active-passive")
        guest = lab.vm12
        guest.put("/etc/multipath.conf", settings_of_the_page())
        guest.run("multipathd reconfigure")
        log_in(guest)
        wait_until_io_goes_to(guest, "vm10")
        guest.run(f"mkfs.ext4 -q {DEVICE} && mount {DEVICE} /mnt", timeout_s=120)
        stream = Stream(guest, PIECES)

        written = written_by_dd(guest, stream, "/mnt/first")
        assert written["vm10"] * 512 >= BYTES
        assert written["vm11"] == 0

        dd = stream.write("/mnt/second")
        time.sleep(2)
        before = sectors_written(guest)
        assert not dd.done, "dd was over before the panic"
        lab.vm10.panic()
        result = dd.wait(240)
        assert result.status == 0, result.output
        assert sectors_written(guest)["vm11"] > before["vm11"] == 0
        assert power["vm10"].resets == ["ForceOff"]
        assert power["vm11"].resets == []
        pair.wait_for({"vm11": Standing("Master", "Disabled")})
        assert not paths(guest)["vm10"].state.startswith("active ready")

        power["vm10"].switch_on()
        lab.vm10.start_daemon()
        pair.wait_for({"vm10": Standing("Slave", "Enabled"), "vm11": Standing("Master", "Enabled")})
        wait_until_io_goes_to(guest, "vm11")
        written = written_by_dd(guest, stream, "/mnt/third")
        assert written["vm11"] * 512 >= BYTES
        assert written["vm10"] == 0

        lab.vm10.run("qsync -s M1 -m master")
        pair.wait_for({"vm10": Standing("Master", "Enabled"), "vm11": Standing("Slave", "Enabled")})
        wait_until_io_goes_to(guest, "vm10")
        written = written_by_dd(guest, stream, "/mnt/fourth")
        assert written["vm10"] * 512 >= BYTES
        assert written["vm11"] <= SECTORS_OF_CHATTER

        for file in ("first", "second", "third", "fourth"):
            assert sha256(guest, f"/mnt/{file}") == stream.sha256, file
        sums = sha256_through_each_path(guest, "/mnt", "second")
        assert sums == {"vm10": stream.sha256, "vm11": stream.sha256}
