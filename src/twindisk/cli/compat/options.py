"""Single-letter options, read as the described product's commands read them."""

from __future__ import annotations

import getopt
import sys
from collections.abc import Sequence
from typing import NoReturn


class Options:
    """What was given on the command line: letters, and the values of those that take one."""

    def __init__(self, usage: str, letters: str, argv: Sequence[str]) -> None:
        self._usage = usage.strip("\n")
        if set(argv) & {"-h", "--help"}:
            sys.stdout.write(self._usage + "\n")
            sys.exit(0)
        try:
            pairs, rest = getopt.getopt(list(argv), letters)
        except getopt.GetoptError as error:
            self.wrong(str(error))
        if rest:
            self.wrong(f"unexpected argument {rest[0]}")
        self._values = {name[1:]: value for name, value in pairs}
        if len(self._values) != len(pairs):
            self.wrong("an option is given twice")

    def __contains__(self, letter: str) -> bool:
        return letter in self._values

    def get(self, letter: str) -> str | None:
        """Return an option's value, None when it was not given."""
        return self._values.get(letter)

    def need(self, letter: str, what: str) -> str:
        """Return an option's value; without one, say what is missing and end."""
        value = self._values.get(letter)
        if not value:
            self.wrong(f"-{letter} <{what}> is missing")
        return value

    def only(self, letters: str) -> None:
        """End with the usage when an option was given that has no meaning here."""
        for letter in self._values:
            if letter not in letters:
                self.wrong(f"-{letter} has no meaning here")

    def wrong(self, problem: str) -> NoReturn:
        """Say what is wrong, show the usage, end with status 1."""
        sys.stderr.write(f"{problem}\n{self._usage}\n")
        sys.exit(1)
