"""``twindisk``: nouns, tables, JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from twindisk.cli.main import main
from unit.cli.conftest import Run

VM11 = "127.0.4.11"


class Twindisk:
    """The command on node vm10."""

    def __init__(self, etc: Path) -> None:
        self.etc = etc

    def __call__(self, *argv: str, status: int = 0, answer: str | None = None) -> Result:
        ran = CliRunner().invoke(main, argv, input=answer, env={"TWINDISK_ETC": str(self.etc), "COLUMNS": "200"})
        assert ran.exit_code == status, (ran.output, ran.stderr, ran.exception)
        return ran

    def json(self, *argv: str) -> Any:
        return json.loads(self(*argv, "--json").stdout)


@pytest.fixture
def twindisk(nodes: Path) -> Twindisk:
    return Twindisk(nodes / "vm10" / "etc")


def test_a_vdisk_from_creation_to_mirror(twindisk: Twindisk, nodes: Path, run: Run) -> None:
    assert "No pools" in twindisk("pool", "list").stdout
    twindisk("pool", "add", "HA")
    twindisk("disk", "add", str(nodes / "vm10" / "disk"), "--pool", "HA")
    run("spconfig", "-a", "-g", "HA", on="vm11")
    run("bdconfig", "-a", "-d", str(nodes / "vm11" / "disk"), "-g", "HA", on="vm11")
    made = twindisk.json("vdisk", "create", "M1", "1.5G", "--pool", "HA")
    assert made["size_bytes"] == 3 << 29
    assert "1.5 GiB" in twindisk("vdisk", "list").stdout
    assert (made["access"], made["access_state"]) == ("active-active", "active/optimized")
    assert "M1 is active-passive" in twindisk("vdisk", "set", "M1", "--access", "active-passive").stdout
    assert "active-passive" in twindisk("vdisk", "list").stdout
    added = twindisk.json("check", "add", VM11, "fence", "--command", "true")
    assert added["value"] == "true"
    assert "mirror watch M1" in twindisk("mirror", "add", "M1", VM11).stdout
    assert "VDisk M1: Master, Enabled" in twindisk("mirror", "watch", "M1").stdout
    assert json.loads(twindisk("mirror", "watch", "M1", "--json").stdout.splitlines()[-1])["status"] == "Enabled"
    assert twindisk.json("mirror", "list")[0]["role"] == "Master"
    assert twindisk.json("mirror", "role", "M1", "slave")["role"] == "Slave"
    assert twindisk.json("vdisk", "set", "M1", "--access", "active-active")["access"] == "active-active"
    assert "not one of" in twindisk("vdisk", "set", "M1", "--access", "both", status=2).stderr
    twindisk("vdisk", "create", "M2", "1M", "--pool", "HA", "--access", "active-passive")
    shown = twindisk("vdisk", "show", "M2").stdout
    assert "active-passive" in shown
    assert "active/optimized" in shown
    assert "Slave" in twindisk("mirror", "show", "M1").stdout
    seen = twindisk.json("status")
    assert seen["node"]["name"] == "vm10"
    assert [peer["link"] for peer in seen["peers"]] == ["up"]
    for noun in (
        ("status",),
        ("node", "show"),
        ("events",),
        ("trap", "list"),
        ("pool", "show", "HA"),
        ("check", "list"),
        ("disk", "list"),
    ):
        assert twindisk(*noun).stdout
        twindisk.json(*noun)
    twindisk("mirror", "end", "M1")
    twindisk("vdisk", "resize", "M1", "2G")
    assert "fence" in twindisk("check", "remove", VM11).stdout


def test_what_destroys_asks_first(twindisk: Twindisk, nodes: Path) -> None:
    twindisk("pool", "add", "HA")
    twindisk("disk", "add", str(nodes / "vm10" / "disk"), "--pool", "HA")
    twindisk("vdisk", "create", "M1", "1M", "--pool", "HA")
    twindisk("vdisk", "remove", "M1", status=1, answer="n\n")
    assert len(twindisk.json("vdisk", "list")) == 1
    twindisk("vdisk", "remove", "M1", answer="y\n")
    twindisk("disk", "remove", str(nodes / "vm10" / "disk"))
    twindisk("pool", "remove", "HA")


def test_errors_are_sentences_or_json_on_standard_error(twindisk: Twindisk) -> None:
    told = twindisk("vdisk", "show", "NONE", status=1)
    assert told.stderr == "twindisk: There is no VDisk NONE on node vm10. List them with: twindisk vdisk list\n"
    assert told.stdout == ""
    for argv in (("vdisk", "show", "NONE", "--json"), ("--json", "vdisk", "show", "NONE")):
        document = json.loads(twindisk(*argv, status=1).stderr)
        assert (document["problem"], document["name"]) == ("vdisk-not-found", "NONE")
    assert "no size" in twindisk("vdisk", "create", "M1", "huge", status=1).stderr


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    command = Twindisk(tmp_path)
    command("node", "secret")
    made = tmp_path / "secret"
    assert made.stat().st_mode & 0o777 == 0o600
    before = made.read_text()
    assert len(before) > 32
    assert "Nothing was changed" in command("node", "secret", status=1).stderr
    assert made.read_text() == before


def test_a_demo_to_hold_needs_a_directory(tmp_path: Path) -> None:
    assert "belong together" in Twindisk(tmp_path)("demo", "--hold", status=2).stderr
