"""Built pieces kept between runs, outside the checkout, each keyed by what went into it.

Rules
- A piece is built beside its final place and renamed: what is there is whole.
- A piece that this process asked for stays locked (shared) until the process ends; nobody removes it meanwhile.
- Nobody waits for the right to build: by the time it comes, the piece may be built and in use until its user ends.
- Whoever builds a piece removes the older ones of its kind that nobody uses.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RETRY_S = 0.05

_held: dict[Path, int] = {}


def cache_root() -> Path:
    """Return the folder of all pieces."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "twindisk-e2e"


def digest(*inputs: str | bytes | Path) -> str:
    """Return a key of the inputs: texts, bytes, and files (their contents and names)."""
    whole = hashlib.sha256()
    for part in inputs:
        if isinstance(part, Path):
            data = part.name.encode() + b"\0" + part.read_bytes()
        else:
            data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:16]


def piece(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder of a piece; ``build`` fills a new folder when it is not there yet."""
    place = cache_root() / kind / key
    if place in _held:
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    while (lock := _lock_of_built(place)) is None:
        try:
            with _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
                if not place.exists():
                    print(f"building {kind} {key}", flush=True)
                    _build_whole(place, build)
        except BlockingIOError:
            time.sleep(RETRY_S)  # another process builds it, has just built it or looks whether it is there
    _held[place] = lock
    _remove_unused(place)
    return place


def _lock_of_built(place: Path) -> int | None:
    """Wait for whoever builds the piece; return its shared lock, None when it is not there."""
    lock = _lock(place, fcntl.LOCK_SH)
    if place.exists():
        return lock
    os.close(lock)  # a lock can't be exchanged for a stronger one without a gap: let go, and look again later
    return None


def _build_whole(place: Path, build: Callable[[Path], None]) -> None:
    part = _beside(place, ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    build(part)
    part.rename(place)


def _remove_unused(keep: Path) -> None:
    for lock_file in keep.parent.glob("*.lock"):
        place = lock_file.with_name(lock_file.name.removesuffix(".lock"))
        if place == keep:
            continue
        try:
            with _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(place, ignore_errors=True)
                shutil.rmtree(_beside(place, ".part"), ignore_errors=True)
                lock_file.unlink()
        except BlockingIOError:
            continue  # another run uses it


@contextmanager
def _locked(place: Path, operation: int) -> Iterator[None]:
    lock = _lock(place, operation)
    try:
        yield
    finally:
        os.close(lock)


def _lock(place: Path, operation: int) -> int:
    """Lock a piece's lock file and return its descriptor; who removes a piece removes that file, so look again."""
    path = _beside(place, ".lock")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, operation)
        except OSError:
            os.close(descriptor)
            raise
        try:
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _beside(place: Path, ending: str) -> Path:
    return place.with_name(place.name + ending)
