"""What happened in a run, and when; seconds since its beginning, of the clock that the histories use."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Timeline:
    """The run's log."""

    began: float = field(default_factory=time.monotonic)
    entries: list[tuple[float, str, str]] = field(default_factory=list)
    echo: bool = False

    def note(self, who: str, text: str) -> None:
        """Take note of something that happens now."""
        at = time.monotonic()
        self.entries.append((at, who, text))
        if self.echo:
            print(self.line(at, who, text), flush=True)

    def line(self, at: float, who: str, text: str) -> str:
        """Return one line."""
        return f"{self.seconds(at):9.3f}  {who:<12} {text}"

    def seconds(self, at: float) -> float:
        """Return a moment as seconds since the beginning."""
        return at - self.began

    def text(self) -> str:
        """Return all of it."""
        return "\n".join(self.line(*entry) for entry in self.entries) + "\n"
