import string

import pytest

from twindisk.brain.effects import Refusal
from twindisk.errors import (
    ConfigProblem,
    ConflictProblem,
    EngineCorruptError,
    EngineError,
    EngineIoError,
    EngineNotFoundError,
    InvalidProblem,
    NotFoundProblem,
    PeerProblem,
    RefusedError,
    RefusedProblem,
    StateProblem,
    UnreachableError,
    WitnessProblem,
)
from twindisk.sentences import SENTENCES, tell

PROBLEMS = (
    ConfigProblem,
    StateProblem,
    InvalidProblem,
    NotFoundProblem,
    ConflictProblem,
    RefusedProblem,
    PeerProblem,
    WitnessProblem,
)


def test_every_problem_has_a_sentence_and_every_sentence_a_problem() -> None:
    assert set(SENTENCES) == {problem for kind in PROBLEMS for problem in kind}


def test_problems_have_one_name_each() -> None:
    names = [problem.value for problem in SENTENCES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("problem", SENTENCES)
def test_sentences_are_whole(problem: RefusedProblem) -> None:
    status, title, sentence = SENTENCES[problem]
    assert 400 <= status < 600
    assert title
    assert not title.endswith(".")
    assert all(name is None or name.isidentifier() for _, name, _, _ in string.Formatter().parse(sentence))


def test_a_role_change_says_why_not() -> None:
    for reason in Refusal:
        error = RefusedError(RefusedProblem.ROLE_CHANGE, vdisk="M1", node="vm10", role="master", reason=reason.value)
        assert tell(error).detail.startswith("VDisk M1 on node vm10 cannot become master: ")
        assert "?" not in tell(error).detail


def test_the_engines_errors_name_the_vdisk_and_the_system_error() -> None:
    assert tell(EngineNotFoundError("unknown VDisk", "M1")).detail == "VDisk M1: unknown VDisk."
    assert tell(EngineIoError("cannot read", "M1", errno=5)).detail == "VDisk M1: cannot read (Input/output error)."
    assert "mirror it from the peer" in tell(EngineCorruptError("both metadata slots are corrupt", "M1")).detail
    assert tell(EngineError("strange", peer="10.0.0.2")).detail == "peer 10.0.0.2: strange."


def test_no_daemon_says_where_it_was_looked_for() -> None:
    assert "/run/control.sock" in tell(UnreachableError("/run/control.sock")).detail
