"""What happened in a run, one line each, and how a run fails."""

from typing import Any, Final

from twindisk.sim.clock import SECOND, Clock

KEPT: Final = 400_000
"""Lines that are kept; the oldest go first."""


class Failed(Exception):  # noqa: N818 - named for what it says of a run
    """A promise was broken. ``promise``: P1 to P8, or the name of an inner rule."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(promise, what)
        self.promise = promise
        self.what = what

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


class Trace:
    """The lines of a run; made into text only when somebody wants to read them."""

    def __init__(self, clock: Clock, *, wanted: bool) -> None:
        self._clock = clock
        self.wanted = wanted
        """Whether somebody is going to read it."""
        self._lines: list[tuple[int, str, str, tuple[Any, ...]]] = []

    def note(self, who: str, words: str, *args: Any) -> None:
        """Take note of something; ``words`` is a ``%`` format for ``args``."""
        if self.wanted:
            self._lines.append((self._clock.now_ns, who, words, args))
            if len(self._lines) > KEPT:
                del self._lines[: KEPT // 2]

    def text(self) -> str:
        """Return everything, one line per event."""
        return "\n".join(
            f"{at_ns / SECOND - 100:11.6f} {who:>4} {words % args if args else words}"
            for at_ns, who, words, args in self._lines
        )
