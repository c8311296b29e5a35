"""When a destination's trouble is worth a line of log. Pure.

Rules:

1. Each kind of trouble is told once, until its end was told; not with every notification.
2. The end is told once nothing went wrong for a while: an unreachable port is reported by the network only after the next
   notification was sent, so that one success says little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

QUIET_S: Final = 60.0


class Problem(StrEnum):
    """What went wrong with a notification."""

    NO_ADDRESS = "its name does not resolve"
    REFUSED = "nobody listens on its port"
    NOT_SENT = "the network did not take it"
    OVERFLOW = "too many notifications at once, the oldest were dropped"
    NO_ANSWER = "nothing happened in time, perhaps its name server does not answer"


class News(StrEnum):
    """What is to be logged."""

    NOTHING = "nothing"
    TROUBLE = "trouble"
    RECOVERED = "recovered"


@dataclass(slots=True)
class Health:
    """How a destination fares. ``problem``: the last one, None when there was none or its end was told."""

    problem: Problem | None = None
    _told: set[Problem] = field(default_factory=set)
    _last_trouble_s: float = 0.0

    def note(self, problem: Problem | None, now_s: float) -> News:
        """Note how one notification fared (None: it was sent); return what is to be logged."""
        if problem is not None:
            self._last_trouble_s = now_s
            self.problem = problem
            news = News.NOTHING if problem in self._told else News.TROUBLE
            self._told.add(problem)
            return news
        if self.problem is not None and now_s - self._last_trouble_s >= QUIET_S:
            self.problem = None
            self._told.clear()
            return News.RECOVERED
        return News.NOTHING
