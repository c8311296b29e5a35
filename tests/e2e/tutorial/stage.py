"""Where the tutorial's steps happen: runs the page's dialogues at their hosts and holds the outputs against expectations.

Rules:

* Every command must exit 0.
* An expectation with ``within_s`` is tried again, commands and all, until it holds or the time is over; its commands must
  be such as only look.
* Names that differ from run to run (loop devices) are told to the hosts as they are, and shown as the page has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from e2e.lab.command import Host, Job, Result
from e2e.tutorial.page import Action, Dialogue, Exchange, FileText, Step, shown

Outputs = Sequence[tuple[str, ...]]

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Expect:
    """``holds`` gets the output lines of each command of the dialogue; it asserts."""

    holds: Callable[[Outputs], None]
    within_s: float = 0.0
    limit_s: float = 120.0
    """The most that one command may take."""


@dataclass(slots=True)
class Stage:
    """Runs steps in order; ``outputs`` collects what every exchange printed, by its number on the page."""

    hosts: Mapping[str, Host]
    expectations: Mapping[str, Expect]
    actions: Mapping[str, Callable[..., None]]
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By host: the page's name of a thing, and its name in this run."""
    outputs: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _running: dict[str, Job] = field(default_factory=dict)
    _exchanges: int = 0

    def perform(self, step: Step) -> None:
        """Do one step. Raises AssertionError when an expectation does not hold."""
        match step:
            case Action():
                verb, *hosts = step.words
                self.actions[verb](*hosts)
            case FileText():
                self._write(step)
            case Dialogue():
                first = self._exchanges
                self._exchanges += len(step.exchanges)
                for number, output in enumerate(self._speak(step), first):
                    self.outputs[number] = output

    def _write(self, file: FileText) -> None:
        redirect = ">>" if file.append else ">"
        self.hosts[file.host].run(f"cat {redirect} {file.path} <<'END_OF_FILE'\n{file.text}END_OF_FILE")

    def _speak(self, dialogue: Dialogue) -> Outputs:
        if dialogue.verb == "start":
            exchange = dialogue.exchanges[0]
            self._running[dialogue.name] = self.hosts[exchange.host].spawn(exchange.command)
            return [()]
        expect = self.expectations[dialogue.name]
        if dialogue.verb == "wait":
            answer = self._running.pop(dialogue.name).wait(expect.limit_s)
            outputs: Outputs = [_lines(dialogue.exchanges[0], answer)]
            expect.holds(outputs)
            _print(dialogue, outputs)
            return outputs
        deadline = time.monotonic() + expect.within_s
        while True:
            try:
                outputs = [self._ask(exchange, expect.limit_s) for exchange in dialogue.exchanges]
                expect.holds(outputs)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                _print(dialogue, outputs)
                return outputs

    def _ask(self, exchange: Exchange, limit_s: float) -> tuple[str, ...]:
        command = exchange.command
        names = self.names.get(exchange.host, {})
        for on_page, here in names.items():
            command = command.replace(on_page, here)
        answer = self.hosts[exchange.host].run(command, check=False, timeout_s=limit_s)
        lines = _lines(exchange, answer)
        for on_page, here in names.items():
            lines = tuple(line.replace(here, on_page) for line in lines)
        return lines


def _lines(exchange: Exchange, answer: Result) -> tuple[str, ...]:
    lines = shown(answer.output.split("\n"))
    assert answer.status == 0, f"{exchange.host}# {exchange.command}: status {answer.status}\n" + "\n".join(lines)
    return lines


def _print(dialogue: Dialogue, outputs: Outputs) -> None:
    for exchange, lines in zip(dialogue.exchanges, outputs, strict=True):
        print(f"{exchange.host}# {exchange.command}", *lines, sep="\n", flush=True)
