from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.engine import FakeWorld
from fakes.nodes import free_port, node_in_thread
from twindisk.cli.compat import bdconfig, ndconfig, qmirrorcheck, qsync, spconfig, vdconfig

COMMANDS = {
    "bdconfig": bdconfig.main,
    "ndconfig": ndconfig.main,
    "qmirrorcheck": qmirrorcheck.main,
    "qsync": qsync.main,
    "spconfig": spconfig.main,
    "vdconfig": vdconfig.main,
}


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Path]:
    """Nodes vm10 and vm11, each in its thread; their directory."""
    world, port = FakeWorld(), free_port()
    with (
        node_in_thread(tmp_path, "vm10", port=port, world=world),
        node_in_thread(tmp_path, "vm11", port=port, world=world),
    ):
        yield tmp_path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a compatible command on a node (vm10 unless ``on`` says another)."""

    def call(*argv: str, on: str = "vm10", answer: str = "") -> Ran:
        monkeypatch.setenv("TWINDISK_ETC", str(tmp_path / on / "etc"))
        monkeypatch.setattr("sys.argv", list(argv))
        monkeypatch.setattr("builtins.input", lambda _: answer)
        capsys.readouterr()
        status = 0
        try:
            COMMANDS[argv[0]]()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return call
