"""Bugs planted into the mirror core: a copy of the native sources with other text in some places, built for the simulator alone.

Rules:

1. The product's own sources hold nothing of a planted bug, so that no build of the product can.
2. One library holds all bugs; the environment of a process says which one is on (:data:`BUG`), none by default.
3. What is to be replaced stands in its file exactly once, or nothing is built: whoever changes the place mends the bug too.
"""

import hashlib
import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twindisk.sim.core import LIBRARY

ROOT: Final = Path(__file__).resolve().parent.parent.parent
BUG: Final = "TWINDISK_PLANTED_BUG"
"""Environment variable: the bug that is on in a process that loads the library."""
_BUGS: Final = Path(__file__).with_name("core_bugs.toml")
_MIRROR: Final = Path("native/mirror/src")
_PLACE: Final = ROOT / "target" / "planted"
_SWITCH: Final = """//! Which planted bug is on.

use std::sync::OnceLock;

/// True when this bug is on.
pub fn is(bug: &str) -> bool {
    static ON: OnceLock<String> = OnceLock::new();
    ON.get_or_init(|| std::env::var("TWINDISK_PLANTED_BUG").unwrap_or_default()) == bug
}
"""
_PROFILE: Final = """
[profile.planted]
inherits = "release"
lto = false
codegen-units = 16
opt-level = 2
debug = false
"""


@dataclass(frozen=True, slots=True)
class CoreBug:
    """One bug."""

    name: str
    what: str
    """What is broken, in words."""
    promise: str
    """The promise that it breaks."""
    file: Path
    """The file, relative to the project."""
    before: str
    after: str

    def planted(self, source: str) -> str:
        """Return a file's text with the bug in it, to be switched on."""
        if source.count(self.before) != 1:
            raise ValueError(f"{self.name}: {self.file} holds {source.count(self.before)} times: {self.before}")
        return source.replace(self.before, self.after.replace("PLANTED", f'crate::planted::is("{self.name}")'))


def core_bugs() -> list[CoreBug]:
    """Return all of them."""
    tables = tomllib.loads(_BUGS.read_text("utf-8"))["bug"]
    return [
        CoreBug(bug["name"], bug["what"], bug["promise"], _MIRROR / bug["file"], bug["from"], bug["to"])
        for bug in tables
    ]


def planted_sources() -> dict[Path, str]:
    """Return the text of every file that a bug is planted in, by its path relative to the project."""
    sources: dict[Path, str] = {}
    for bug in core_bugs():
        source = sources.get(bug.file) or (ROOT / bug.file).read_text("utf-8")
        sources[bug.file] = bug.planted(source)
    return sources


def _write(path: Path, text: str) -> None:
    """Write a file unless it holds the text, so that only what has changed is built anew."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _files() -> dict[Path, str]:
    native = [path for path in (ROOT / "native").rglob("*") if path.suffix in {".rs", ".toml"}]
    files = {path.relative_to(ROOT): path.read_text("utf-8") for path in native if "target" not in path.parts}
    files |= planted_sources()
    files[_MIRROR / "planted.rs"] = _SWITCH
    files[_MIRROR / "lib.rs"] += "\n#[allow(missing_docs)]\npub mod planted;\n"
    files[Path("Cargo.toml")] = (ROOT / "Cargo.toml").read_text("utf-8") + _PROFILE
    files[Path("Cargo.lock")] = (ROOT / "Cargo.lock").read_text("utf-8")
    return files


def build() -> dict[str, str]:
    """Build the library; return the environment in which the simulator takes it."""
    copy = _PLACE / "sources"
    files = _files()
    for path in copy.rglob("*"):
        if path.is_file() and path.relative_to(copy) not in files:
            path.unlink()
    for path, text in files.items():
        _write(copy / path, text)
    command = ["cargo", "build", "--quiet", "--locked", "--profile", "planted", "-p", "twindisk-python"]
    target = _PLACE / "build"
    subprocess.run([*command, "--target-dir", str(target)], cwd=copy, check=True)
    built = target / "planted" / "libtwindisk_native.so"
    # Under a name of its own: a library that is loaded somewhere must not change.
    kept = _PLACE / f"{hashlib.sha256(built.read_bytes()).hexdigest()[:16]}.so"
    if not kept.exists():
        for old in _PLACE.glob("*.so"):
            old.unlink()
        shutil.copy(built, kept)
    return os.environ | {LIBRARY: str(kept)}
