"""What the demo prints: numbered steps, commands with their output, and notes."""

import sys
import time
from typing import Final, TextIO

_FOLDED_LINES: Final = 40


class Screen:
    """Prints to ``out``; times are since the screen was made."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._begun = time.monotonic()
        self._step = 0

    def step(self, title: str) -> None:
        """Begin a numbered step."""
        self._step += 1
        self._print(f"\n[{time.monotonic() - self._begun:5.1f} s] {self._step}. {title}")

    def command(self, node: str, command: str, output: str) -> None:
        """Show a command that was run on a node, and what it printed."""
        lines = [line.rstrip() for line in output.splitlines()][:_FOLDED_LINES]
        self._print("\n".join([f"  {node}# {command}", *(f"    {line}" for line in lines)]))

    def note(self, text: str) -> None:
        """Show a line of explanation."""
        self._print(f"  {text}")

    def result(self, text: str) -> None:
        """Show a line of the result, in the first column."""
        self._print(text)

    def _print(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
