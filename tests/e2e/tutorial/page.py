"""The tutorial's page as something that runs: docs/tutorial.md is both what people read and what the test executes.

Rules:

* A ``console`` block is a dialogue: lines that begin with ``host# `` are commands, the lines below each are its output.
* What a block does is said by a comment on the line before it: ``<!-- check: name -->`` runs its commands and holds what
  they print against the expectation of that name; ``<!-- start: name -->`` starts its one command and goes on;
  ``<!-- wait: name -->`` waits for that command and shows it with its output.
* ``<!-- file: host path -->`` before a block of any other kind: its text is written to that file of that host;
  ``<!-- append: host path -->`` appends it.
* ``<!-- action: words -->`` stands alone: something that no command does, such as a power cut.
* A console block without a directive, or a directive without its block, is an error: nothing on the page goes untested.
* Writing the page changes nothing but outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

_DIRECTIVE = re.compile(r"<!-- (?P<verb>check|start|wait|file|append|action): (?P<words>[^>]*?) -->")
_PROMPT = re.compile(r"(?P<host>[a-z][a-z0-9]*)# (?P<command>.*)")

BlockVerb = Literal["check", "start", "wait"]


class PageError(ValueError):
    """The page breaks a rule; the text says where."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command at one host, and what it printed."""

    host: str
    command: str
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A console block: ``name`` is its expectation's, or its background command's."""

    verb: BlockVerb
    name: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class FileText:
    """A block that is a file's text."""

    host: str
    path: str
    text: str
    append: bool


@dataclass(frozen=True, slots=True)
class Action:
    """What the stage does by itself: a verb and its hosts."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prose:
    """Lines that nobody runs; directives are among them, since they stay as they are."""

    lines: tuple[str, ...]


Step = Dialogue | FileText | Action
Piece = Step | Prose


def parse(text: str) -> tuple[Piece, ...]:
    """Split a page into pieces. Raises PageError."""
    pieces: list[Piece] = []
    prose: list[str] = []
    pending: re.Match[str] | None = None
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        directive = _DIRECTIVE.fullmatch(line)
        if pending and not line.startswith("```"):
            raise PageError(f"line {number}: a block must follow '{pending[0]}'")
        prose.append(line)
        if directive and directive["verb"] == "action":
            pieces += [Prose(tuple(prose)), Action(tuple(directive["words"].split()))]
            prose = []
        elif directive:
            pending = directive
        elif line.startswith("```"):
            body, closing = _body(lines, number)
            if pending is None:
                if line == "```console":
                    raise PageError(f"line {number}: a console block without a directive")
                prose += [*body, closing]
                continue
            pieces += [Prose(tuple(prose)), _block(pending, line, body, number)]
            prose, pending = [closing], None
    if pending:
        raise PageError(f"the page ends after '{pending[0]}'")
    pieces.append(Prose(tuple(prose)))
    return tuple(pieces)


def steps(pieces: Iterable[Piece]) -> tuple[Step, ...]:
    """Return what runs, in order."""
    return tuple(piece for piece in pieces if not isinstance(piece, Prose))


def render(pieces: Iterable[Piece]) -> str:
    """Return the page's text."""
    lines: list[str] = []
    for piece in pieces:
        match piece:
            case Prose():
                lines += piece.lines
            case FileText():
                lines += piece.text.splitlines()
            case Dialogue():
                for exchange in piece.exchanges:
                    lines += [f"{exchange.host}# {exchange.command}", *exchange.output]
            case Action():
                pass
    return "\n".join(lines) + "\n"


def with_outputs(pieces: Iterable[Piece], outputs: Mapping[int, tuple[str, ...]]) -> tuple[Piece, ...]:
    """Return the pieces with new outputs; ``outputs``: text by the number of the exchange on the page, from 0."""
    number = 0
    fresh: list[Piece] = []
    for piece in pieces:
        if not isinstance(piece, Dialogue):
            fresh.append(piece)
            continue
        exchanges = []
        for exchange in piece.exchanges:
            printed = outputs.get(number)
            exchanges.append(exchange if printed is None else replace(exchange, output=shown(printed)))
            number += 1
        fresh.append(replace(piece, exchanges=tuple(exchanges)))
    return tuple(fresh)


def shown(output: Iterable[str]) -> tuple[str, ...]:
    """Return the lines as a terminal leaves them: after backspaces and carriage returns, without blanks at the ends."""
    lines = [_as_terminal(line).rstrip() for line in output]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def _as_terminal(line: str) -> str:
    cells: list[str] = []
    at = 0
    for character in line.rstrip("\r"):
        if character == "\b":
            at = max(0, at - 1)
        elif character == "\r":
            at = 0
        else:
            cells[at : at + 1] = [character]
            at += 1
    return "".join(cells)


def _body(lines: Iterable[tuple[int, str]], opened: int) -> tuple[list[str], str]:
    body: list[str] = []
    for _, line in lines:
        if line == "```":
            return body, line
        body.append(line)
    raise PageError(f"line {opened}: the block never ends")


def _block(directive: re.Match[str], fence: str, body: list[str], number: int) -> Dialogue | FileText:
    words = directive["words"].split()
    verb = directive["verb"]
    if verb in {"file", "append"}:
        if len(words) != 2:
            raise PageError(f"line {number}: a file needs a host and a path")
        return FileText(words[0], words[1], "".join(f"{line}\n" for line in body), append=verb == "append")
    if fence != "```console" or len(words) != 1:
        raise PageError(f"line {number}: '{directive[0]}' needs one name and a console block")
    exchanges = _exchanges(body, number)
    if verb != "check" and len(exchanges) != 1:
        raise PageError(f"line {number}: '{directive[0]}' takes one command")
    named: dict[str, BlockVerb] = {"check": "check", "start": "start", "wait": "wait"}
    return Dialogue(named[verb], words[0], exchanges)


def _exchanges(body: list[str], number: int) -> tuple[Exchange, ...]:
    exchanges: list[Exchange] = []
    for line in body:
        prompt = _PROMPT.fullmatch(line)
        if prompt:
            exchanges.append(Exchange(prompt["host"], prompt["command"]))
        elif exchanges:
            exchanges[-1] = replace(exchanges[-1], output=(*exchanges[-1].output, line))
        else:
            raise PageError(f"line {number}: a dialogue begins with a prompt such as 'vm10# '")
    if not exchanges:
        raise PageError(f"line {number}: a dialogue without a command")
    return tuple(exchanges)
