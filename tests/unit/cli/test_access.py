"""``twindisk initiator`` and ``twindisk chap``."""

from pathlib import Path

import pytest

from unit.cli.test_twindisk import Twindisk

VM12, VM13 = "iqn.1994-05.com.redhat:vm12", "iqn.1994-05.com.redhat:vm13"
SECRET, OTHER_SECRET = "twelve bytes", "another twelve"

pytestmark = pytest.mark.promise("P9")


@pytest.fixture
def twindisk(nodes: Path) -> Twindisk:
    made = Twindisk(nodes / "vm10" / "etc")
    made("pool", "add", "HA")
    made("disk", "add", str(nodes / "vm10" / "disk"), "--pool", "HA")
    made("vdisk", "create", "M1", "1M", "--pool", "HA")
    return made


def test_initiators_are_listed_allowed_and_denied(twindisk: Twindisk) -> None:
    assert "Every initiator" in twindisk("initiator", "list", "M1").stdout
    assert VM13 in twindisk("initiator", "allow", "M1", VM12, VM13).stdout
    assert twindisk("initiator", "list", "M1").stdout.split() == [VM12, VM13]
    assert VM12 in twindisk("vdisk", "show", "M1").stdout
    assert twindisk.json("initiator", "deny", "M1", VM12)["initiators"] == [VM13]
    assert "--everyone" in twindisk("initiator", "deny", "M1", VM13, status=1).stderr
    assert "every initiator" in twindisk("initiator", "deny", "M1", VM13, "--everyone").stdout
    assert "no initiator's name" in twindisk("initiator", "allow", "M1", "vm12", status=1).stderr
    assert "There is no VDisk" in twindisk("initiator", "allow", "M2", VM12, status=1).stderr


@pytest.mark.parametrize("where", [("--vdisk", "M1"), ("--discovery",)])
def test_chap_users_come_and_go_and_secrets_are_never_shown(
    twindisk: Twindisk, tmp_path: Path, where: tuple[str, ...]
) -> None:
    file = tmp_path / "secret"
    file.write_text(OTHER_SECRET + "\n")
    assert "nobody has to prove" in twindisk("chap", "list", *where).stdout
    told = twindisk("chap", "set", "alice", *where, answer=SECRET + "\n").output
    told += twindisk("chap", "set-target", "vault", *where, "--secret-file", str(file)).output
    listed = twindisk("chap", "list", *where).stdout
    assert "alice" in listed
    assert "vault" in listed
    seen = twindisk.json("chap", "list", *where)
    assert (seen["chap_users"], seen["chap_target"]) == (["alice"], "vault")
    told += listed + str(seen) + twindisk("status").stdout + twindisk("vdisk", "show", "M1").stdout
    assert SECRET not in told
    assert OTHER_SECRET not in told
    shared = twindisk("chap", "set", "bob", *where, "--secret-file", "-", answer=OTHER_SECRET, status=1)
    assert "must not have the same secret" in shared.stderr
    assert OTHER_SECRET not in shared.output
    short = twindisk("chap", "set", "bob", *where, answer="short-secret\n"[1:], status=1)
    assert "12 to 255 bytes" in short.stderr
    twindisk("chap", "remove-target", *where)
    assert "--everyone" in twindisk("chap", "remove", "alice", *where, status=1).stderr
    twindisk("chap", "remove", "alice", *where, "--everyone")
    assert "There is no CHAP user" in twindisk("chap", "remove", "alice", *where, status=1).stderr


def test_chap_is_for_a_vdisk_or_for_discovery(twindisk: Twindisk) -> None:
    assert "either --vdisk NAME or --discovery" in twindisk("chap", "list", status=2).stderr
    assert "either" in twindisk("chap", "list", "--vdisk", "M1", "--discovery", status=2).stderr
    assert "No such file" in twindisk("chap", "set", "a", "--vdisk", "M1", "--secret-file", "/none", status=2).stderr
