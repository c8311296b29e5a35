"""The project's files, as the tidiness tests see them."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FUZZ_INPUTS = "native/fuzz/corpus/"


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """Return the project's own files with one of the suffixes (all when none is given), relative to the root.

    The fuzzers' inputs are not among them.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = (Path(name) for name in sorted(set(listed.split("\0"))) if name and not name.startswith(FUZZ_INPUTS))
    return tuple(path for path in paths if (ROOT / path).is_file() and (not suffixes or path.suffix in suffixes))


def text(path: Path) -> str:
    return (ROOT / path).read_text("utf-8")
