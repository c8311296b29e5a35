"""``twindisk check test``: shows, asks, or fences; nothing in between."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from twindisk.cli.main import main

VM11 = "127.0.4.11"


class Trials:
    """Node vm10 with an agent that writes down what it was asked, and answers with the status it is told."""

    def __init__(self, root: Path) -> None:
        self.etc = root / "vm10" / "etc"
        self.agent, self.asked, self.answer = root / "fence_paper", root / "asked", root / "answer"
        self.agent.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {self.asked}\nread status < {self.answer}\nexit $status\n"
        )
        self.agent.chmod(0o755)
        self.agent_says(0)

    def agent_says(self, status: int) -> None:
        self.answer.write_text(f"{status}\n")

    def questions(self) -> list[str]:
        found = self.asked.read_text().splitlines() if self.asked.exists() else []
        self.asked.unlink(missing_ok=True)
        return found

    def __call__(self, *argv: str, status: int = 0, answer: str | None = None) -> Result:
        environment = {"TWINDISK_ETC": str(self.etc), "COLUMNS": "200"}
        ran = CliRunner().invoke(main, argv, input=answer, env=environment)
        assert ran.exit_code == status, (ran.output, ran.stderr, ran.exception)
        return ran


@pytest.fixture
def trials(nodes: Path) -> Trials:
    trials = Trials(nodes)
    trials("check", "add", VM11, "fence", "--command", f"{trials.agent} -n vm11 -p geheim -o off")
    return trials


def test_without_an_option_nothing_is_run(trials: Trials) -> None:
    shown = trials("check", "test").stdout
    assert "fence_paper -n vm11 -p *** -o off" in shown
    assert "geheim" not in shown
    assert "No fence commands and no witness for 10.0.0.9" in trials("check", "test", "10.0.0.9").stdout
    assert trials.questions() == []


@pytest.mark.parametrize(
    ("says", "outcome", "status"), [(0, " on ", 0), (2, " off ", 0), (1, " failed ", 1), (127, " failed ", 1)]
)
def test_an_agent_is_asked_for_the_state_and_for_nothing_else(
    trials: Trials, says: int, outcome: str, status: int
) -> None:
    trials.agent_says(says)
    shown = trials("check", "test", VM11, "--status", status=status).stdout
    assert outcome in shown
    assert "geheim" not in shown
    assert trials.questions() == ["-n vm11 -p geheim -o status"]


def test_what_is_no_agent_is_not_asked(trials: Trials) -> None:
    trials("check", "remove", VM11)
    trials("check", "add", VM11, "fence", "--command", f"touch {trials.asked}")
    assert "not asked" in trials("check", "test", "--status").stdout
    assert not trials.asked.exists()


def test_fencing_for_real_needs_the_peer_and_a_yes(trials: Trials) -> None:
    trials("check", "test", "--run", status=2)
    trials("check", "test", VM11, "--run", "--status", status=2)
    trials("check", "test", VM11, "--run", status=1, answer="n\n")
    assert trials.questions() == []
    assert " fenced " in trials("check", "test", VM11, "--run", answer="y\n").stdout
    trials.agent_says(1)
    trials("check", "add", VM11, "fence", "--command", "exit 0")
    assert " fenced " in trials("check", "test", VM11, "--run", "--yes").stdout
    trials("check", "remove", VM11, "--command", "exit 0")
    trials("check", "test", VM11, "--run", "--yes", status=1)
    assert trials.questions() == ["-n vm11 -p geheim -o off"] * 3


def test_an_agent_that_calls_a_connected_peer_off_asks_about_another_machine(trials: Trials, nodes: Path) -> None:
    for name in ("vm10", "vm11"):
        trials.etc = nodes / name / "etc"
        trials("pool", "add", "HA")
        trials("disk", "add", str(nodes / name / "disk"), "--pool", "HA")
    trials.etc = nodes / "vm10" / "etc"
    trials("vdisk", "create", "M1", "1M", "--pool", "HA")
    trials("mirror", "add", "M1", VM11)
    trials("mirror", "watch", "M1")
    trials.agent_says(2)
    shown = trials("check", "test", "--status", status=1).stdout
    assert "wrong" in shown
    assert f"calls {VM11} off although it is connected" in shown


def test_no_command_is_an_error(trials: Trials) -> None:
    told = "neither a fence command nor a witness for 10.0.0.9"
    assert told in trials("check", "test", "10.0.0.9", "--status", status=1).stderr
    assert "no fence command for 10.0.0.9" in trials("check", "test", "10.0.0.9", "--run", "--yes", status=1).stderr


def test_a_witness_is_shown_and_tried_and_nothing_is_left_there(trials: Trials, tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    place = f"file://{share}"
    trials("check", "remove", VM11)
    trials("check", "add", VM11, "witness", "--witness", place)
    assert place in trials("check", "list").stdout
    assert place in trials("check", "test").stdout
    assert " reached " in trials("check", "test", "--status").stdout
    assert [path.name for path in share.iterdir()] == ["identity"]
    (share / "identity").rename(share / "aside")
    shown = trials("check", "test", "--status", status=1).stdout
    assert " wrong " in shown
    assert "another witness than the one that was configured" in shown
    for path in share.iterdir():
        path.unlink()
    share.rmdir()
    shown = trials("check", "test", "--status", status=1).stdout
    assert " failed " in shown
    assert "No such file or directory" in shown


def test_options_of_another_type_are_refused(trials: Trials) -> None:
    trials("check", "add", VM11, "manual", "--witness", "file:///nowhere", status=2)
    trials("check", "add", VM11, "witness", "--command", "true", status=2)
    assert "witness a URL" in trials("check", "add", VM11, "witness", status=1).stderr
