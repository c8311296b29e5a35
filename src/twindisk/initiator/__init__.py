"""An iSCSI initiator for asyncio: sessions, and a disk reached through several paths.

It binds the shared library of libiscsi (the initiator that QEMU uses), so the demo and the tests talk to the target
as another implementation of the protocol does, not as our own.

* :class:`Session`: one login to one portal, any number of commands in flight;
* :class:`MultipathDisk`: one disk over several portals, round-robin, retried on the other path as dm-multipath does;
* :mod:`twindisk.initiator.cdb`: command descriptor blocks; :mod:`twindisk.initiator.answers`: what comes back.
"""

from twindisk.initiator.answers import Capacity, Inquiry, Sense, SenseKey
from twindisk.initiator.errors import (
    CheckConditionError,
    CommandTimeoutError,
    ConnectionLostError,
    InitiatorError,
    LibraryMissingError,
    LoginError,
    NoPathError,
    StatusError,
)
from twindisk.initiator.paths import MultipathDisk, PathState, PathStatus
from twindisk.initiator.session import DiscoveredTarget, Session, SessionOptions, discover

__all__ = [
    "Capacity",
    "CheckConditionError",
    "CommandTimeoutError",
    "ConnectionLostError",
    "DiscoveredTarget",
    "InitiatorError",
    "Inquiry",
    "LibraryMissingError",
    "LoginError",
    "MultipathDisk",
    "NoPathError",
    "PathState",
    "PathStatus",
    "Sense",
    "SenseKey",
    "Session",
    "SessionOptions",
    "StatusError",
    "discover",
]
