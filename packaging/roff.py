"""Manual pages in the man(7) macros.

Text may have `` `code` `` (bold) and ``<place>`` or ``*word*`` (italic); all else is taken as it is.
"""

from __future__ import annotations

import re
import textwrap

WIDTH = 78

_INLINE = re.compile(r"`([^`]+)`|\*([^*\s][^*]*)\*|<([a-z][^<>]*)>")
_PLAIN = {
    "\\": "\\e",
    "-": "\\-",
    "'": "\\(aq",
    "^": "\\(ha",
    "~": "\\(ti",
    "`": "\\(ga",
    "\u2013": "\\(en",
    "\u2026": "...",
}


class Page:
    """One page, built from top to bottom. ``date`` is YYYY-MM-DD."""

    def __init__(self, name: str, section: int, date: str, source: str) -> None:
        self.name, self.section = name, section
        self._lines = [f'.TH {plain(name.upper())} {section} "{date}" "{source}" "Twindisk"']

    def heading(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f'.SH "{plain(title.upper())}"')

    def subheading(self, title: str) -> None:
        """Begin a part of a section."""
        self._lines.append(f'.SS "{plain(title)}"')

    def paragraph(self, *sentences: str) -> None:
        """Add a paragraph. Not for the first of a section after a heading: there it needs no space."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._wrap(*sentences)

    def item(self, tag: str, *sentences: str) -> None:
        """Add an entry of a list: a tag, and indented what it means."""
        self._lines += [".TP", _guarded(inline(tag))]
        self._wrap(*sentences)

    def lines(self, text: str) -> None:
        """Add lines that keep their breaks: commands, usage."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._lines += [".nf", *(_guarded(plain(line)) for line in text.splitlines()), ".fi"]

    def example(self, text: str) -> None:
        """Add indented lines that keep their breaks."""
        self._lines += [".PP", ".RS 4", ".nf", *(_guarded(plain(line)) for line in text.splitlines()), ".fi", ".RE"]

    def _wrap(self, *sentences: str) -> None:
        for sentence in sentences:
            lines = textwrap.wrap(inline(sentence), WIDTH, break_long_words=False, break_on_hyphens=False)
            self._lines += [_guarded(line) for line in lines]

    def text(self) -> str:
        """Return the page's source."""
        return "\n".join(self._lines) + "\n"


def plain(text: str) -> str:
    """Return text with every character that roff would take for its own made plain."""
    return "".join(_PLAIN.get(character, character) for character in text)


def inline(text: str) -> str:
    """Return text with its `` `code` ``, ``*word*`` and ``<place>`` set in their fonts."""
    done, at = "", 0
    for found in _INLINE.finditer(text):
        code, word, place = found.groups()
        font, inner = ("B", code) if code else ("I", word or place)
        done += plain(text[at : found.start()]) + f"\\f{font}{plain(inner)}\\fR"
        at = found.end()
    return done + plain(text[at:])


def _guarded(line: str) -> str:
    return f"\\&{line}" if line.startswith((".", "'")) else line
