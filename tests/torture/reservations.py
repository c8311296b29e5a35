"""A cluster that changes the reservations of a VDisk of its own through both nodes, and knows what they must be.

Rules

* One change at a time. Each registration has a key of its own, so READ KEYS tells who is registered.
* A change that was not answered was made or not: what is seen next decides, and it must not be made later.
* Whatever is seen through either node must be one of the states that are possible then; what a reservation forbids must be refused.
"""

import asyncio
import contextlib
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from integration.reservation_client import CLEAR, IGNORE, PREEMPT, PREEMPT_AND_ABORT, RELEASE, RESERVE
from torture.registers import session_options
from torture.wrong import Wrong
from twindisk.initiator import (
    CheckConditionError,
    InitiatorError,
    LoginError,
    SenseKey,
    Session,
    StatusError,
)

PORTS = 3
_CONFLICT_STATUS = 0x18
_ATTENTIONS_MAX = 12
_KEEP_THROUGH_POWER_LOSS = 0x01
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, WRITE_EXCLUSIVE_REGISTRANTS, EXCLUSIVE_ACCESS_REGISTRANTS = 1, 3, 5, 6
KINDS = (WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, WRITE_EXCLUSIVE_REGISTRANTS, EXCLUSIVE_ACCESS_REGISTRANTS)

Nexus = tuple[int, int]
"""An initiator port's number and a node's."""


@dataclass(frozen=True, slots=True)
class State:
    """Registrations, and the reservation: its holder and type; ``holder`` None: there is none."""

    keys: frozenset[tuple[Nexus, int]] = frozenset()
    holder: Nexus | None = None
    kind: int = 0

    def key_of(self, nexus: Nexus) -> int | None:
        """Return the key of a registration."""
        return next((key for one, key in self.keys if one == nexus), None)

    def shown(self) -> tuple[frozenset[int], tuple[int, int] | None]:
        """Return what READ KEYS and READ RESERVATION show: keys, and type and key of the reservation."""
        held = None if self.holder is None else (self.kind, self.key_of(self.holder) or 0)
        return frozenset(key for _, key in self.keys), held

    def registered(self, nexus: Nexus, key: int) -> "State":
        """Return the state after a registration, or its end (key 0)."""
        others = frozenset(one for one in self.keys if one[0] != nexus)
        if key:
            return replace(self, keys=others | {(nexus, key)})
        return replace(self, keys=others, holder=None if self.holder == nexus else self.holder)

    def preempted(self, by: Nexus, victim: Nexus, kind: int) -> "State":
        """Return the state after one nexus preempted another's key."""
        others = frozenset(one for one in self.keys if one[0] != victim)
        if self.holder == victim:
            return State(others, by, kind)
        return replace(self, keys=others)

    def forbids(self, nexus: Nexus, *, write: bool) -> bool:
        """Say whether a read or write of a nexus conflicts with the reservation (SPC-4 table 66)."""
        if self.holder is None or nexus == self.holder:
            return False
        if self.kind in (WRITE_EXCLUSIVE_REGISTRANTS, EXCLUSIVE_ACCESS_REGISTRANTS) and self.key_of(nexus):
            return False
        return write or self.kind in (EXCLUSIVE_ACCESS, EXCLUSIVE_ACCESS_REGISTRANTS)


@dataclass(frozen=True, slots=True)
class Change:
    """One PERSISTENT RESERVE OUT: its fields, and the state that it leads to."""

    nexus: Nexus
    action: int
    kind: int
    key: int
    action_key: int
    after: State


def draw(chance: random.Random, state: State, new_key: Callable[[], int]) -> Change:
    """Draw a change that is allowed in a state."""
    everyone = [(port, node) for port in range(PORTS) for node in range(2)]
    inside = sorted(one for one, _ in state.keys)
    nexus = chance.choice(everyone)
    key = state.key_of(nexus)
    kind = chance.choice(KINDS)
    drawn = chance.random()
    if key is None or drawn < 0.25:
        fresh = new_key()
        return Change(nexus, IGNORE, 0, 0, fresh, state.registered(nexus, fresh))
    if drawn < 0.35:
        return Change(nexus, IGNORE, 0, 0, 0, state.registered(nexus, 0))
    if drawn < 0.4:
        return Change(nexus, CLEAR, 0, key, 0, State())
    others = [one for one in inside if one != nexus]
    if others and drawn < 0.65:
        victim = chance.choice([*others, *([state.holder] if state.holder in others else [])])
        action = chance.choice([PREEMPT, PREEMPT_AND_ABORT])
        return Change(nexus, action, kind, key, state.key_of(victim) or 0, state.preempted(nexus, victim, kind))
    if state.holder is None:
        return Change(nexus, RESERVE, kind, key, 0, replace(state, holder=nexus, kind=kind))
    holder = state.holder
    return Change(holder, RELEASE, state.kind, state.key_of(holder) or 0, 0, replace(state, holder=None, kind=0))


@dataclass(slots=True)
class Cluster:
    """The cluster; ``note`` takes a line about every change."""

    portals: list[str]
    iqn: str
    note: Callable[[str], None]
    pace_s: float = 0.03
    operations: int = 0
    possible: set[State] = field(default_factory=lambda: {State()})
    _keys: "count[int]" = field(default_factory=lambda: count(1))
    _sessions: dict[Nexus, Session] = field(default_factory=dict)
    _stopping: bool = False

    async def run_until_stopped(self, seed: str) -> None:
        """Change and look until :meth:`stop`."""
        self._stopping = False
        chance = random.Random(f"{seed}/cluster")
        while not self._stopping:
            await self.step(chance)
            await asyncio.sleep(chance.uniform(0, 2 * self.pace_s))
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def stop(self) -> None:
        """End after the present step."""
        self._stopping = True

    async def step(self, chance: random.Random) -> None:
        """Look, change, or try what a reservation may forbid."""
        nexus = (chance.randrange(PORTS), chance.randrange(2))
        if len(self.possible) > 1:
            await self.look(nexus)
        elif chance.random() < 0.5:
            await self._change(draw(chance, next(iter(self.possible)), lambda: next(self._keys)))
        elif chance.random() < 0.5:
            await self.look(nexus)
        else:
            await self._touch(nexus, write=chance.random() < 0.5)

    async def look(self, nexus: Nexus) -> bool:
        """Read keys and reservation; one of the possible states must show so. False: nothing was answered."""
        answers = []
        for action in (0, 1):
            status, data = await self._send(nexus, struct.pack(">BB5xHx", 0x5E, action, 4096), data_in_bytes=4096)
            if status != "good":
                return False
            answers.append(data)
        keys, held = answers
        end = 8 + int.from_bytes(keys[4:8], "big")
        listed = [key for (key,) in struct.iter_unpack(">Q", keys[8:end])]
        reservation = (held[21] & 0x0F, int.from_bytes(held[8:16], "big")) if held[4:8] != bytes(4) else None
        shown = (frozenset(listed), reservation)
        fitting = {state for state in self.possible if state.shown() == shown}
        if not fitting or len(listed) != len(shown[0]):
            raise Wrong(
                "P5",
                f"{self.portals[nexus[1]]} shows keys {sorted(listed)} and reservation {reservation}; possible were"
                f" {[state.shown() for state in self.possible]}",
            )
        self.possible = fitting
        self.operations += 1
        return True

    async def _change(self, change: Change) -> None:
        parameters = struct.pack(">QQIBxxx", change.key, change.action_key, 0, _KEEP_THROUGH_POWER_LOSS)
        block = struct.pack(">BBBxxIx", 0x5F, change.action, change.kind, len(parameters))
        status, _ = await self._send(change.nexus, block, data_out=parameters)
        words = f"port {change.nexus[0]} at {self.portals[change.nexus[1]]}: action {change.action} type {change.kind}"
        self.note(f"{words} key {change.key} action key {change.action_key}: {status}")
        if status == "good":
            self.possible = {change.after}
            self.operations += 1
        elif status == "unknown":
            self.possible = self.possible | {change.after}
        elif status != "not sent":
            raise Wrong("P5", f"{words}: {status}, though allowed in {self.possible}")

    async def _touch(self, nexus: Nexus, *, write: bool) -> None:
        state = next(iter(self.possible))
        block = struct.pack(">BBQIxx", 0x8A if write else 0x88, 0, 8 * nexus[0], 1)
        status, _ = await self._send(
            nexus, block, data_out=bytes(512) if write else b"", data_in_bytes=0 if write else 512
        )
        wanted = "conflict" if state.forbids(nexus, write=write) else "good"
        if status in ("good", "conflict"):
            self.operations += 1
            if status != wanted:
                what = "write" if write else "read"
                raise Wrong("P5", f"a {what} of {nexus} was answered {status}, not {wanted}, in {state}")

    async def _send(
        self, nexus: Nexus, block: bytes, *, data_out: bytes = b"", data_in_bytes: int = 0
    ) -> tuple[str, bytes]:
        """Send a command past unit attentions; ``not sent``: nobody took it, ``unknown``: it was done or not."""
        session = self._sessions.get(nexus)
        if session is None or not session.connected:
            try:
                session = await Session.connect(self.portals[nexus[1]], self.iqn, session_options("cluster", nexus[0]))
            except LoginError:
                return "not sent", b""
            self._sessions[nexus] = session
        for _ in range(_ATTENTIONS_MAX):
            try:
                return "good", await session.command(block, data_out=data_out, data_in_bytes=data_in_bytes)
            except CheckConditionError as error:
                if error.sense.key is SenseKey.UNIT_ATTENTION:
                    continue
                retried = (SenseKey.NOT_READY, SenseKey.ABORTED_COMMAND, SenseKey.HARDWARE_ERROR)
                return ("unknown" if error.sense.key in retried else str(error.sense)), b""
            except StatusError as error:
                return ("conflict" if error.status == _CONFLICT_STATUS else "unknown"), b""
            except InitiatorError:
                return "unknown", b""
        return "unit attentions without end", b""

    async def look_through_both(self, limit_s: float) -> None:
        """Look through each node until it answered; both must show the same state."""
        for node in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    while not await self.look((0, node)):
                        await asyncio.sleep(0.1)
                    continue
            raise Wrong("P5", f"{self.portals[node]} does not show the reservations")
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
