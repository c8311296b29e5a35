"""The compatible commands: their output byte for byte, their refusals with a sentence and status 1."""

import time
from pathlib import Path

import pytest

from unit.cli.conftest import Ran, Run

VM10, VM11 = "127.0.4.10", "127.0.4.11"
QSYNC_HEAD = "Local              Remote             Pool             Dest Addr      Role     Status          \n"


def good(ran: Ran) -> str:
    assert (ran.status, ran.err) == (0, ""), ran
    return ran.out


def refused(ran: Ran, words: str) -> None:
    assert ran.status == 1, ran
    assert words in ran.err, ran
    assert ran.out == ""


def wait_enabled(run: Run) -> None:
    end = time.monotonic() + 5
    while not all("Enabled" in good(run("qsync", "-l", on=name)) for name in ("vm10", "vm11")):
        assert time.monotonic() < end
        time.sleep(0.02)


def set_up(run: Run, root: Path) -> None:
    for name in ("vm10", "vm11"):
        good(run("spconfig", "-a", "-g", "HAPOOL", on=name))
        good(run("bdconfig", "-a", "-d", str(root / name / "disk"), "-g", "HAPOOL", on=name))
    good(run("vdconfig", "-a", "-v", "M1", "-s", "100", "-g", "HAPOOL", "-e"))


def test_ndconfig_shows_the_tutorials_lines(nodes: Path, run: Run) -> None:
    assert good(run("ndconfig")) == (
        "         Node Type: Mirror Recv\n      Recv Address: 127.0.4.10\n       Node Status: Recv Inited\n"
    )


def test_qmirrorcheck_lists_adds_and_removes(nodes: Path, run: Run) -> None:
    head = "Mirror Ipaddr      Type         Value                                   \n"
    assert good(run("qmirrorcheck", "-l")) == head
    command = "/usr/sbin/fence_xvm -H vm11"
    good(run("qmirrorcheck", "-a", "-t", "fence", "-r", VM11, "-v", command))
    good(run("qmirrorcheck", "-a", "-t", "manual", "-r", VM11))
    assert good(run("qmirrorcheck", "-l")) == (
        head
        + "127.0.4.11         fence        /usr/sbin/fence_xvm -H vm11             \n"
        + "127.0.4.11         manual       N/A                                     \n"
    )
    refused(run("qmirrorcheck", "-a", "-t", "fence", "-r", VM11, "-v", command), "already")
    refused(run("qmirrorcheck", "-a", "-t", "fence", "-r", VM11), "-v <fence command> is missing")
    refused(run("qmirrorcheck", "-a", "-t", "pray", "-r", VM11), "the type is fence, witness, manual or ignore")
    refused(run("qmirrorcheck", "-x", "-t", "ignore"), "no such mirror check")
    refused(run("qmirrorcheck", "-a", "-t", "witness", "-r", VM11), "-v <witness url> is missing")
    refused(run("qmirrorcheck", "-a", "-t", "witness", "-r", VM11, "-v", "http://w"), "begins with etcd://")
    for share in (nodes / "share", nodes / "other"):
        share.mkdir()
        good(run("qmirrorcheck", "-a", "-t", "witness", "-r", VM11, "-v", f"file://{share}"))
    shown = good(run("qmirrorcheck", "-l"))
    assert f"{VM11:<18} {'witness':<12} {f'file://{nodes}/other':<40}\n" in shown
    assert f"file://{nodes}/share" not in shown  # a peer has one witness
    good(run("qmirrorcheck", "-x", "-t", "witness", "-r", VM11))
    good(run("qmirrorcheck", "-x", "-r", VM11))
    assert good(run("qmirrorcheck", "-l")) == head


def test_the_tutorial_from_pool_to_enabled(nodes: Path, run: Run) -> None:
    set_up(run, nodes)
    assert good(run("spconfig", "-l")) == (
        "Name                     Disks    VDisks   Status          \n"
        "HAPOOL                   1        1        Online          \n"
    )
    head, line = good(run("vdconfig", "-l")).splitlines()
    assert (
        head
        == "Name                     Pool             Serial Number                      Size(GB)   LUN    Status          "
    )
    assert line.split()[:2] + line.split()[3:] == ["M1", "HAPOOL", "100", "0", "Enabled"]
    serial = line.split()[2]
    assert (len(serial), serial[:2]) == (32, "6e")
    assert good(run("qsync", "-l")) == QSYNC_HEAD
    good(run("qsync", "-s", "M1", "-d", "M1", "-r", VM11, "-g", "HAPOOL"))
    wait_enabled(run)
    assert good(run("qsync", "-l")) == (
        QSYNC_HEAD + "M1                 M1                 HAPOOL           127.0.4.11     Master   Enabled         \n"
    )
    assert good(run("qsync", "-l", on="vm11")) == (
        QSYNC_HEAD + "M1                 M1                 HAPOOL           127.0.4.10     Slave    Enabled         \n"
    )
    assert serial in good(run("vdconfig", "-l", on="vm11"))
    good(run("qsync", "-s", "M1", "-m", "master", on="vm11"))
    wait_enabled(run)
    assert "Slave    Enabled" in good(run("qsync", "-l"))
    good(run("qsync", "-m", "master", "-f"))
    wait_enabled(run)
    assert "Master   Enabled" in good(run("qsync", "-l"))
    refused(run("vdconfig", "-x", "-v", "M1", "-f"), "is mirrored with 127.0.4.11")
    refused(run("vdconfig", "-v", "M1", "-s", "200", on="vm11"), "is not the Master")
    good(run("qsync", "-x", "-s", "M1"))
    assert good(run("qsync", "-l")) == QSYNC_HEAD == good(run("qsync", "-l", on="vm11"))
    assert "M1 " in good(run("vdconfig", "-l", on="vm11"))


def test_bdconfig_lists_configured_and_unconfigured(nodes: Path, run: Run) -> None:
    set_up(run, nodes)
    head, line = good(run("bdconfig", "-l", "-c")).splitlines()
    assert head.split() == ["ID", "Vendor", "Model", "SerialNumber", "Name", "Pool", "Size", "Used", "Status"]
    assert [line.split()[index] for index in (4, 5, 8)] == [str(nodes / "vm10" / "disk"), "HAPOOL", "Online"]
    assert "HAPOOL" not in good(run("bdconfig", "-l", "-e"))
    refused(run("bdconfig", "-x", "-d", str(nodes / "vm10" / "disk")), "in use by M1")
    refused(run("bdconfig", "-l", "-c", "-e"), "exclude each other")


def test_vdconfig_asks_before_it_deletes(nodes: Path, run: Run) -> None:
    set_up(run, nodes)
    refused(run("vdconfig", "-x", "-v", "M1", answer="no"), "nothing was deleted")
    assert "M1 " in good(run("vdconfig", "-l"))
    refused(run("vdconfig", "-x", "-v", "NONE"), "There is no VDisk NONE")
    good(run("vdconfig", "-x", "-v", "M1", answer="yes"))
    assert "M1 " not in good(run("vdconfig", "-l"))


def test_vdconfig_resizes_and_keeps_the_serial_number(nodes: Path, run: Run) -> None:
    set_up(run, nodes)
    good(run("vdconfig", "-v", "M1", "-s", "200"))
    assert " 200 " in good(run("vdconfig", "-l"))
    refused(run("vdconfig", "-v", "M1", "-s", "100"), "cannot shrink")
    refused(run("vdconfig", "-n", "gen", "-v", "M1"), "keeps its serial number")


NONSENSE = [
    ("vdconfig -a -v M2 -s 0 -g HAPOOL", "too small"),
    ("vdconfig -a -v M2 -s 65537 -g HAPOOL", "65537 GiB is too large: the most is 64 TiB"),
    ("vdconfig -a -v M2 -s 99999999999 -g HAPOOL", "is too large"),
    ("vdconfig -a -v M2 -s big -g HAPOOL", "is no size"),
    ("vdconfig -a -v M2 -g HAPOOL", "-s <size in GB> is missing"),
    ("vdconfig -a -v M2 -s 1 -g NOPE", "no pool NOPE on node vm10"),
    ("vdconfig -a -v M/2 -s 1 -g HAPOOL", "cannot be a VDisk's name"),
    ("vdconfig -a -v M1 -s 1 -g HAPOOL", "has a VDisk M1 already"),
    ("qsync -s M1 -d M1 -r 127.0.4.10", "Source and destination are the same host"),
    ("qsync -s M1 -d M1 -r 127.0.4.99", "Cannot connect to peer 127.0.4.99"),
    ("qsync -s M1 -d M1 -r 127.0.4.11 -g NOPE", "no pool NOPE on node vm11"),
    ("qsync -s NONE -d NONE -r 127.0.4.11", "There is no VDisk NONE"),
    ("qsync -x -s M1", "is not mirrored"),
    ("qsync -s M1 -m king", "the role is master or slave"),
    ("qsync -m master", "-s <vdisk> is missing"),
    ("qsync -s M1", "one of -l, -x, -m and -d is needed"),
    ("qsync -l extra", "unexpected argument"),
    ("qsync -l -l", "given twice"),
    ("qsync -Z", "not recognized"),
    ("spconfig -a -g HAPOOL", "has a pool HAPOOL already"),
    ("spconfig -x -g HAPOOL", "has 1 disk(s)"),
    ("bdconfig -a -d /nowhere -g HAPOOL", "neither a directory nor a block device"),
    ("bdconfig -x -d /nowhere", "no disk /nowhere"),
    ("ndconfig -x", "not recognized"),
]


@pytest.mark.promise("P9")
def test_nonsense_is_refused_with_a_sentence_and_changes_nothing(nodes: Path, run: Run) -> None:
    set_up(run, nodes)
    before = [good(run(name, "-l")) for name in ("spconfig", "vdconfig", "qsync", "qmirrorcheck")]
    for argv, words in NONSENSE:
        refused(run(*argv.split()), words)
    assert [good(run(name, "-l")) for name in ("spconfig", "vdconfig", "qsync", "qmirrorcheck")] == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpcore leaves its socket open
def test_without_a_daemon_a_command_says_what_to_do(run: Run, tmp_path: Path) -> None:
    refused(run("qsync", "-l"), f"There is no configuration directory {tmp_path}/vm10/etc")
    (tmp_path / "vm10" / "etc").mkdir(parents=True)
    refused(run("qsync", "-l"), f"twindiskd does not answer on {tmp_path}/vm10/var/control.sock")
