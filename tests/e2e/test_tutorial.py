"""The tutorial, word for word: every command of docs/tutorial.md is run where the page says, and must print what it should.

With ``TWINDISK_RECORD=1`` (``make tutorial``) a run that passed is written to the page and its picture.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.lab.bmc import Bmc
from e2e.lab.command import eventually
from e2e.lab.lab import Lab
from e2e.lab.pair import bmcs
from e2e.tutorial.expectations import EXPECTATIONS
from e2e.tutorial.page import Dialogue, parse, render, steps, with_outputs
from e2e.tutorial.picture import draw
from e2e.tutorial.stage import Stage

pytestmark = [pytest.mark.timeout(900), pytest.mark.promise("P1", "P4", "P7", "P8")]

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = DOCS / "tutorial.md"
PICTURE = DOCS / "images" / "dd-across-a-death.svg"
WRITTEN_BEFORE_PANIC_BYTES = 48 << 20


@pytest.fixture(scope="module")
def boards(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Bmc]]:
    """The management boards of both nodes."""
    with bmcs(lab, tmp_path_factory.mktemp("boards")) as made:
        yield made


class Actions:
    """What happens on the page beside commands."""

    def __init__(self, lab: Lab, boards: dict[str, Bmc]) -> None:
        self.lab = lab
        self.boards = boards
        self.machines = {machine.name: machine for machine in lab.machines}

    def carry_secret(self) -> None:
        self.lab.vm11.put("/etc/twindisk/secret", self.lab.vm10.get("/etc/twindisk/secret"), mode=0o600)

    def start_service(self, *names: str) -> None:
        for name in names:
            self.machines[name].start_daemon()
        for name in names:
            self.machines[name].wait_ready()

    def panic(self, name: str) -> None:
        def written_bytes() -> int:
            return int(self.lab.vm12.run("cat /sys/block/dm-0/stat").output.split()[6]) * 512

        at_first = written_bytes()
        eventually(
            lambda: written_bytes() > at_first + WRITTEN_BEFORE_PANIC_BYTES, "dd writes to the disk", within_s=60
        )
        self.machines[name].panic()

    def power_on(self, name: str) -> None:
        self.boards[name].switch_on()
        self.start_service(name)


def test_the_tutorial_word_for_word(lab: Lab, boards: dict[str, Bmc]) -> None:
    actions = Actions(lab, boards)
    pieces = parse(PAGE.read_text("utf-8"))
    stage = Stage(
        hosts={host.name: host for host in (*lab.machines, lab.vm12)},
        expectations=EXPECTATIONS,
        actions={
            "carry-secret": actions.carry_secret,
            "start-service": actions.start_service,
            "panic": actions.panic,
            "power-on": actions.power_on,
        },
        names={"vm10": {"/dev/loop0": str(lab.vm10.block_device)}, "vm11": {"/dev/loop1": str(lab.vm11.block_device)}},
    )
    for step in steps(pieces):
        stage.perform(step)

    if os.environ.get("TWINDISK_RECORD"):
        recorded = with_outputs(pieces, stage.outputs)
        PAGE.write_text(render(recorded), "utf-8")
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(draw([step for step in steps(recorded) if isinstance(step, Dialogue)]), "utf-8")
