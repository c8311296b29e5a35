"""The planted bugs of the mirror core: each has its place in the sources, and the product has none of them."""

from pathlib import Path

from mutants.core import BUG, ROOT, core_bugs, planted_sources
from twindisk import _native
from twindisk.sim.mutants import MUTANTS


def test_every_bug_has_its_place() -> None:
    for path, planted in planted_sources().items():
        names = {bug.name for bug in core_bugs() if bug.file == path}
        assert {name for name in names if f'crate::planted::is("{name}")' in planted} == names


def test_bugs_have_names_of_their_own() -> None:
    names = [bug.name for bug in core_bugs()]
    assert len({*names, *MUTANTS}) == len(names) + len(MUTANTS) >= 12


def test_every_bug_names_the_promise_that_it_breaks() -> None:
    promises = {f"P{number}" for number in range(1, 10)} | {"liveness"}
    assert {bug.promise for bug in core_bugs()} <= promises
    assert {mutant.promise for name, mutant in MUTANTS.items() if name != "none"} <= promises


def test_the_product_holds_no_planted_bug() -> None:
    assert BUG.encode() not in Path(_native.__file__).read_bytes()
    sources = (ROOT / "native").rglob("*.rs")
    assert [path for path in sources if "planted" in path.read_text("utf-8")] == []
