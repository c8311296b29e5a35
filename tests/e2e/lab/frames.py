"""What host and guest say to each other over the guest's control port. The guest has a copy of this file.

A frame, numbers big-endian:

| offset | bytes | field |
| --- | --- | --- |
| 0 | 1 | kind |
| 1 | 4 | number of the job (0: none) |
| 5 | 4 | length of the payload |
| 9 | length | payload |
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEAD = struct.Struct(">BII")


class Kind(enum.IntEnum):
    """What a frame is about."""

    HELLO = 1  # guest: it is up
    RUN = 2  # host: run a command; payload: its length (4 bytes), the command, its standard input
    SIGNAL = 3  # host: send the job's process group a signal; payload: the signal's number (1 byte)
    OUTPUT = 4  # guest: what the job printed, standard output and error in one
    ENDED = 5  # guest: the job's exit status (1 byte); 128 + n when signal n ended it


@dataclass(frozen=True)
class Frame:
    """One message."""

    kind: Kind
    number: int
    payload: bytes


def encode(kind: Kind, number: int, payload: bytes = b"") -> bytes:
    """Return a frame's bytes."""
    return _HEAD.pack(kind, number, len(payload)) + payload


class Reader:
    """Takes bytes as they come, gives whole frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes and yield the frames that they complete."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            kind, number, length = _HEAD.unpack_from(self._bytes)
            end = _HEAD.size + length
            if len(self._bytes) < end:
                return
            payload = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            yield Frame(Kind(kind), number, payload)
