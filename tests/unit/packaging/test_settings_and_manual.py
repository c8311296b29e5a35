"""What the Debian package ships besides the program: settings with their defaults, and manual pages made from the commands."""

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from twindisk.config import load

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "packaging" / "etc"
PAGE = ROOT / "docs" / "operating" / "configuration.md"
EXAMPLES = {"RecvAddr", "MirrorPath", "TrapAddr"}  # no default: the value shown is an example
NOT_SHOWN = {"StateDir", "TrapAuth", "TrapAuthFile", "TrapPriv", "TrapPrivFile", "TrapEngineID"}  # the manual has them


def settings(name: str) -> dict[str, str]:
    """Return the keys and values that a shipped file shows in comments."""
    return dict(re.findall(r"^#(\w+)=(.*)$", (SHIPPED / name).read_text("utf-8"), re.MULTILINE))


def told(name: str) -> set[str]:
    """Return the keys that the page of the configuration tells of a file."""
    part = PAGE.read_text("utf-8").split(f"## {name}")[1].split("\n## ")[0]
    return {key for row in re.findall(r"^\|([^|]*)\|", part, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("name", ["ndrecv.conf", "quadstor.conf"])
def test_the_shipped_settings_show_every_key_that_counts(name: str) -> None:
    superseded = {key for key in told(name) if key.startswith("MirrorSync")}
    assert set(settings(name)) == told(name) - superseded - NOT_SHOWN


def test_the_shipped_settings_are_the_defaults(tmp_path: Path) -> None:
    shipped, spelled_out, bare = (tmp_path / name for name in ("shipped", "spelled-out", "bare"))
    for folder in (shipped, spelled_out, bare):
        folder.mkdir()
    for name in ("ndrecv.conf", "quadstor.conf"):
        (shipped / name).write_text((SHIPPED / name).read_text("utf-8"))
        lines = [f"{key}={value}\n" for key, value in settings(name).items() if key not in EXAMPLES]
        (spelled_out / name).write_text("".join(lines))
    defaults = load(bare)
    assert replace(load(shipped), etc=bare, state_dir=defaults.state_dir) == defaults
    assert replace(load(spelled_out), etc=bare, state_dir=defaults.state_dir) == defaults


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual")
    command = [sys.executable, str(ROOT / "packaging" / "manual.py"), str(folder)]
    subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    return folder


def test_every_command_and_file_has_a_manual_page(manual: Path) -> None:
    commands = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert {path.stem for path in manual.iterdir()} >= {*commands, "ndrecv.conf", "quadstor.conf"}


@pytest.mark.parametrize("name", ["ndrecv.conf", "quadstor.conf"])
def test_the_manual_page_of_a_file_has_every_key(manual: Path, name: str) -> None:
    page = (manual / f"{name}.5").read_text("utf-8")
    assert {key for key in told(name) if f"\\fB{key}\\fR" not in page} == set()


def test_text_that_roff_would_take_for_its_own_stays_text(manual: Path) -> None:
    page = (manual / "qmirrorcheck.8").read_text("utf-8")
    assert 'fence_ipmilan \\-P \\-a 10.0.13.111 \\-l fence \\-S "cat' in page
    assert not [line for line in page.splitlines() if line.startswith("'")]


def test_the_lock_file_has_every_requirement_with_its_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lock = (ROOT / "packaging" / "requirements.lock").read_text("utf-8")
    locked = re.findall(r"^([\w.-]+)==[^\\]*\\\n\s+--hash=sha256:", lock, re.MULTILINE)
    wanted = {re.split(r"[<>=!~\[; ]", requirement)[0].lower() for requirement in project["dependencies"]}
    assert wanted - set(locked) == set()
