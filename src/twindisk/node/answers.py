"""Operators' requests that the brain answers: numbers out, answers in."""

from __future__ import annotations

import asyncio
from itertools import count

from twindisk.brain.effects import Refusal
from twindisk.errors import TwindiskError


class Answers:
    """Requests that wait for the brain's ``Answer`` effect (or for the peer's, when the brain hands the question on)."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Refusal | None]] = {}

    def open(self) -> tuple[int, asyncio.Future[Refusal | None]]:
        """Return the number of a new request and what its answer will be; None is yes."""
        number = next(self._numbers)
        answer: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(number, None))
        return number, answer

    def give(self, number: int, refusal: Refusal | None) -> None:
        """Answer a request; one that nobody waits for any more is dropped."""
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(refusal)

    def fail(self, number: int, error: TwindiskError) -> None:
        """Answer a request with an error: nobody could be asked."""
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_exception(error)
