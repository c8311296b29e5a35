"""The documents: links lead somewhere, decisions are listed, formats have byte tables."""

import re
from pathlib import Path

from tidy.project import ROOT, files, text

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")
BYTE_TABLE_HEAD = re.compile(r"^\|\s*offset\s*\|\s*bytes\s*\|", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+\s+(.*)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for path in files(".md"):
        for target, anchor in LINK.findall(text(path)):
            where = (ROOT / path.parent / target).resolve() if target else ROOT / path
            if not where.exists():
                broken.append(f"{path}: {target}")
            elif anchor and anchor.removeprefix("#") not in anchors(where.relative_to(ROOT)):
                broken.append(f"{path}: {target}{anchor}")
    assert broken == []


def test_every_decision_is_in_the_index() -> None:
    decisions = [path for path in files(".md") if path.parts[:2] == ("docs", "decisions") and path.name != "README.md"]
    index = text(Path("docs/decisions/README.md"))
    assert decisions
    assert [str(path) for path in decisions if f"({path.name})" not in index] == []


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(
        path.name for path in files(".md") if path.parts[:2] == ("docs", "decisions") and path.name[0].isdigit()
    )
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]


def test_every_format_on_disk_and_wire_has_a_byte_table() -> None:
    tables = {
        path.name: text(path) for path in files(".md") if path.parts[:2] in {("docs", "formats"), ("docs", "protocols")}
    }
    for name in ("copy-metadata.md", "mirror-frame.md"):
        assert name in tables
        assert BYTE_TABLE_HEAD.search(tables[name]), f"{name} has no table of offset and bytes"


def test_every_document_that_the_code_names_is_there() -> None:
    named = {
        name
        for path in files(".py", ".pyi", ".rs")
        for name in re.findall(r"\bdocs/[a-z0-9/-]+\.md\b", text(path))
        if "benchmarks" not in name  # made by a run
    }
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_readme_names_every_make_target_that_help_shows() -> None:
    shown = set(re.findall(r"^([a-z-]+):.*## ", text(Path("Makefile")), re.MULTILINE))
    readme = text(Path("README.md"))
    assert sorted(target for target in shown if f"make {target}" not in readme) == []
