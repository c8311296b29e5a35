"""What can go wrong at the initiator.

::

    InitiatorError
     ├─ LibraryMissingError    libiscsi is not installed
     ├─ LoginError             no connection, or the target refused the login
     ├─ ConnectionLostError    the connection ended while commands were in flight: their outcome is unknown
     ├─ CommandTimeoutError    no answer in time: the session was given up, the command's outcome is unknown
     ├─ StatusError            a SCSI status other than GOOD
     │   └─ CheckConditionError    with sense data
     └─ NoPathError            no path of a multipath disk served a command in time
"""

from twindisk.errors import TwindiskError
from twindisk.initiator.answers import Sense


class InitiatorError(TwindiskError):
    """Base of all errors of the initiator."""


class LibraryMissingError(InitiatorError):
    """The shared library of libiscsi is not installed."""

    def __str__(self) -> str:
        return "libiscsi is not installed (Debian: libiscsi7)"


class LoginError(InitiatorError):
    """No session came about. ``portal``: the address; ``reason``: libiscsi's words."""

    def __init__(self, portal: str, reason: str) -> None:
        super().__init__(portal, reason)
        self.portal = portal
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.portal}: {self.reason}"


class ConnectionLostError(InitiatorError):
    """The connection ended; the command may or may not have been carried out. ``portal``: the address."""

    def __init__(self, portal: str) -> None:
        super().__init__(portal)
        self.portal = portal


class CommandTimeoutError(InitiatorError):
    """No answer within ``timeout_s``; the session is closed, the command may or may not have been carried out."""

    def __init__(self, portal: str, timeout_s: float) -> None:
        super().__init__(portal, timeout_s)
        self.portal = portal
        self.timeout_s = timeout_s


class StatusError(InitiatorError):
    """The target answered with ``status`` (SAM-5 §5.3), not GOOD."""

    def __init__(self, portal: str, status: int) -> None:
        super().__init__(portal, status)
        self.portal = portal
        self.status = status


class CheckConditionError(StatusError):
    """The target answered CHECK CONDITION with ``sense``."""

    def __init__(self, portal: str, sense: Sense) -> None:
        super().__init__(portal, 0x02)
        self.sense = sense

    def __str__(self) -> str:
        return f"{self.portal}: {self.sense}"


class NoPathError(InitiatorError):
    """No path carried the command out within ``deadline_s``. ``last``: what the last try met, None if none was made."""

    def __init__(self, deadline_s: float, last: InitiatorError | None) -> None:
        super().__init__(deadline_s, last)
        self.deadline_s = deadline_s
        self.last = last
