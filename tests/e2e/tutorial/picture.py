"""The tutorial's key moment as a terminal picture: dd completes although a node died under it. Made from a run's output."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from e2e.tutorial.page import Dialogue, Exchange

_WIDTH = 100
_SHOWN = ("dd", "takeover-log", "roles-alone", "one-path-faulty", "enabled-again")
_ABOVE = {
    "dd": "a VDisk on two servers; vm10 dies while dd writes through both",
    "takeover-log": "vm11 fenced vm10 and took over",
    "one-path-faulty": "the initiator lost a path, and nothing else",
    "enabled-again": "vm10 is back: only what changed was copied",
}
_STYLES = (
    (r"\b(Enabled|ready|Master)\b", "bold green"),
    (r"\b(Disabled|faulty|failed)\b", "bold red"),
    (r"\b(Slave)\b", "cyan"),
    (r"peer takeover.*|VDisk M1 switching.*", "yellow"),
)
_FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def draw(dialogues: Sequence[Dialogue]) -> str:
    """Return an SVG of the shown dialogues, in the page's order."""
    by_name: Mapping[str, Dialogue] = {
        dialogue.name: dialogue for dialogue in dialogues if dialogue.verb in {"check", "wait"}
    }
    console = Console(record=True, width=_WIDTH, force_terminal=True, color_system="truecolor", file=StringIO())
    for name in _SHOWN:
        if name in _ABOVE:
            console.print(Text(f"# {_ABOVE[name]}", style="dim italic"))
        for exchange in by_name[name].exchanges:
            _show(console, exchange)
        console.print()
    svg = console.export_svg(title="dd across the death of a server", theme=DIMMED_MONOKAI, unique_id="twindisk")
    return _FONT_FACE.sub("", svg)  # a picture needs no font from elsewhere


def _show(console: Console, exchange: Exchange) -> None:
    prompt = Text(f"{exchange.host}# ", style="bold blue")
    console.print(prompt.append(exchange.command, style="bold white"), overflow="ellipsis", no_wrap=True)
    for line in exchange.output:
        shown = Text(line)
        for pattern, style in _STYLES:
            shown.highlight_regex(pattern, style)
        console.print(shown, overflow="ellipsis", no_wrap=True)
