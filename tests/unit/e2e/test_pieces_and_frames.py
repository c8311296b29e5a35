"""The parts of the end-to-end lab that need no lab: its cache of images, the frames of a guest's control port."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.image import cache
from e2e.image.vmlinux import extract
from e2e.lab.frames import Frame, Kind, Reader, encode

pytestmark = pytest.mark.timeout(60)

TESTS = Path(cache.__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def asked_by_another_process(key: str) -> "subprocess.Popen[str]":
    """Let another process ask for a piece of kind "kind"; it holds the piece until its standard input ends."""
    build = "lambda into: (into / 'file').write_text('theirs')"
    script = f"from e2e.image.cache import piece; print(piece('kind', '{key}', {build}), flush=True); input()"
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def wait_for(process: "subprocess.Popen[str]") -> Path:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.startswith("/"):
            return Path(line.strip())
    message = "the other process ended"
    raise RuntimeError(message)


def test_a_piece_is_built_once() -> None:
    built: list[Path] = []

    def build(into: Path) -> None:
        built.append(into)
        (into / "file").write_text("contents")

    first = cache.piece("kind", "once", build)
    assert cache.piece("kind", "once", build) == first
    assert (first / "file").read_text() == "contents"
    assert len(built) == 1


def test_a_build_that_fails_leaves_no_piece_and_is_tried_again() -> None:
    def fail(into: Path) -> None:
        (into / "half").write_text("done")
        raise RuntimeError("no more disk")

    with pytest.raises(RuntimeError, match="no more disk"):
        cache.piece("kind", "failing", fail)
    place = cache.piece("kind", "failing", lambda into: (into / "file").touch())
    assert [path.name for path in place.iterdir()] == ["file"]


def test_an_older_piece_is_removed_once_nobody_uses_it() -> None:
    with asked_by_another_process("old-6.1.0-56") as user:
        old = wait_for(user)
        cache.piece("kind", "old-6.1.0-57", lambda into: None)
        assert (old / "file").exists(), "it was in use"
    newest = cache.piece("kind", "newest", lambda into: None)
    assert newest.exists()
    assert not old.exists()


def test_a_piece_in_use_is_had_at_once_by_another_process() -> None:
    with asked_by_another_process("shared") as user, asked_by_another_process("shared") as second:
        assert wait_for(user) == wait_for(second)
        assert user.poll() is None


def test_a_piece_built_and_in_use_before_one_may_build_it_is_had_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = cache._lock
    users: list[subprocess.Popen[str]] = []

    def lock_after_another_has_built(place: Path, operation: int) -> int:
        if operation & fcntl.LOCK_EX and not users:
            users.append(asked_by_another_process("raced"))
            wait_for(users[0])
        return lock(place, operation)

    monkeypatch.setattr(cache, "_lock", lock_after_another_has_built)
    ours = cache.piece("kind", "raced", lambda into: None)
    with users[0] as user:
        assert (ours / "file").read_text() == "theirs"
        assert user.poll() is None


def test_a_piece_of_another_kind_stays() -> None:
    with asked_by_another_process("theirs") as user:
        theirs = wait_for(user)
    cache.piece("another kind", "ours", lambda into: None)
    assert theirs.exists()


def test_keys_differ_with_every_input(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    keys = {cache.digest("ab", "c"), cache.digest("a", "bc"), cache.digest("abc"), cache.digest(file)}
    file.write_text("2")
    assert len(keys | {cache.digest(file)}) == 5


@given(
    st.lists(st.builds(Frame, st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=200)), max_size=5),
    st.integers(1, 64),
)
def test_frames_arrive_whole_however_the_bytes_are_cut(frames: list[Frame], cut: int) -> None:
    stream = b"".join(encode(frame.kind, frame.number, frame.payload) for frame in frames)
    reader = Reader()
    read = [frame for at in range(0, len(stream), cut) for frame in reader.feed(stream[at : at + cut])]
    assert read == frames


def test_what_holds_no_kernel_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz"
    image.write_bytes(bytes(4096))
    with pytest.raises(ValueError, match="no ELF kernel inside"):
        extract(image)
