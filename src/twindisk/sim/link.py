"""The link of a simulated engine: its connections, dialed, opened and joined as the real engine does (native/runtime, peers).

Rules:

1. While there is no link, one connection at a time tries to open it, the others wait; then they join it by its key. A join of another key is
   refused.
2. A newer link replaces the one that stands: the peer made it after losing that.
3. The link ends with its last connection, or when nothing was heard of the peer for too long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twindisk.sim.clock import MS, SECOND
from twindisk.sim.core import sim_bundle
from twindisk.sim.network import RESET, Session

if TYPE_CHECKING:
    from twindisk._native import SimBundle, SimNode
    from twindisk.sim.machine import Machine

INTERVAL_NS: Final = 200 * MS
SILENCE_NS: Final = 2 * SECOND
_OPEN_NS: Final = 3 * SECOND
_REDIAL_NS: Final = 200 * MS
_REDIAL_SPARE_NS: Final = SECOND
"""While the link stands without the connection."""


@dataclass(slots=True)
class _Dial:
    """A connection that this side keeps up."""

    path: int
    session: Session | None = None
    join: bytes | None = None
    """The key of the link that it is to join; None: it opens one."""
    opened: bool = False
    tries: int = 0
    redial_ns: int = 0
    deadline_ns: int = 0


class Link:
    """One life of a link's end."""

    def __init__(self, machine: "Machine", node: "SimNode", carry_out: Callable[[], None]) -> None:
        self._machine = machine
        self._carry_out = carry_out
        self._world = machine.world
        self._node = node
        self._peer = 1 - machine.index
        self._is_dialer = machine.index == 0
        paths = self._world.cables.connections if self._is_dialer else ()
        self._dials = [_Dial(path) for path in paths]
        self._bundle: SimBundle | None = None
        self._key = b""
        self._joined: dict[int, Session] = {}
        self._opened_ns = 0
        self.loss = "reset"
        """Why the link was lost last."""
        self.losses = 0

    @property
    def stands(self) -> bool:
        """Whether there is a link."""
        return self._bundle is not None

    # --- data ---

    def send(self, frame: bytes) -> None:
        """Send a frame, if there is a link."""
        if self._bundle is not None:
            self._bundle.send(frame, self._world.clock.now_ns)
            self._hand_over()

    def arrived(self, session: Session, data: Any) -> None:
        """Take what came over a session."""
        if data is RESET:
            self._end(session, "reset")
        elif isinstance(data, bytes):
            if session.number in self._joined and self._bundle is not None:
                now_ns = self._world.clock.now_ns
                self._bundle.receive(self._node, self._peer, session.number, data, now_ns)
                self._hand_over()
        else:
            self._shake_hands(session, *data)

    def confirmed(self, session: Session, len_bytes: int) -> None:
        """Note that the peer's machine has taken something that was sent over a session."""
        if self._bundle is not None and session.number in self._joined:
            self._bundle.confirmed(session.number, len_bytes)

    def _hand_over(self) -> None:
        """Give the sessions what the bundle wants sent."""
        if self._bundle is not None:
            for number, data in self._bundle.take_sent():
                self._joined[number].send(self._peer, data)

    # --- opening ---

    def _shake_hands(self, session: Session, word: str, join: bytes | None) -> None:
        if word == "hello":
            session.send(self._peer, ("reply", join))
        elif word == "finish":
            self._opened(session, join)
        elif (dial := self._dial_of(session)) is not None:
            session.send(self._peer, ("finish", join))
            dial.opened = True
            self._opened(session, join)

    def _opened(self, session: Session, join: bytes | None) -> None:
        now_ns, cables = self._world.clock.now_ns, self._world.cables
        if join is not None and (self._bundle is None or join != self._key):
            session.close(self._machine.index)
            self._end(session, "refused")
            return
        if join is None:
            if self._bundle is not None:
                self.close("reset")
                # While there is no link: what the core still has to say is of the old one.
                self._carry_out()
            self._key, self._opened_ns = session.key, now_ns
            self._bundle = sim_bundle()(cables.several, INTERVAL_NS, SILENCE_NS)
        if self._bundle is not None:
            self._joined[session.number] = session
            self._bundle.join(session.number, cables.round_trip_ns(session.path), now_ns)
        if join is None:
            self._node.link_up(self._peer, session.key, self._is_dialer, now_ns)

    def _dial_of(self, session: Session) -> _Dial | None:
        return next((dial for dial in self._dials if dial.session is session), None)

    # --- ending ---

    def _end(self, session: Session, reason: str) -> None:
        """Do without a session: it is over."""
        now_ns = self._world.clock.now_ns
        dial = self._dial_of(session)
        if dial is not None:
            dial.session, dial.opened = None, False
            least_ns = _REDIAL_SPARE_NS if self.stands and len(self._joined) > 1 else _REDIAL_NS
            dial.redial_ns = now_ns + least_ns + self._world.rng.randrange(300) * MS
        if self._joined.pop(session.number, None) is not None and self._bundle is not None:
            if self._bundle.leave(session.number, now_ns):
                self._hand_over()
            else:
                self.close(reason)

    def close(self, reason: str) -> None:
        """End the link, if there is one; ``reason`` is told."""
        if self._bundle is None:
            return
        self._bundle = None
        self.loss = reason
        self.losses += 1
        sessions = list(self._joined.values())
        self._joined.clear()
        for session in sessions:
            session.close(self._machine.index)
            self._end(session, reason)
        for dial in self._dials:
            dial.redial_ns = min(dial.redial_ns, self._world.clock.now_ns + 2 * _REDIAL_NS)
        self._node.link_down(self._peer, self._world.clock.now_ns)

    # --- time ---

    def tick(self) -> None:
        """Close what is silent, and connect where a connection is missing."""
        now_ns = self._world.clock.now_ns
        if self._bundle is not None:
            heard = max(self._node.last_heard(self._peer) or 0, self._opened_ns)
            if now_ns - heard > SILENCE_NS:
                self.close("silent")
        for session in list(self._joined.values()):
            if self._world.network.is_overdue(session, self._peer, SILENCE_NS):
                session.close(self._machine.index)
                self._end(session, "reset")
        if self._bundle is not None:
            silent = self._bundle.tick(now_ns)
            self._hand_over()
            if silent is not None:
                session = self._joined[silent]
                session.close(self._machine.index)
                self._end(session, "silent")
        for dial in self._dials:
            if dial.session is not None and not dial.opened and now_ns >= dial.deadline_ns:
                dial.session.close(self._machine.index)
                self._end(dial.session, "refused")
        self._connect()

    def _connect(self) -> None:
        now_ns = self._world.clock.now_ns
        missing = [dial for dial in self._dials if dial.session is None and now_ns >= dial.redial_ns]
        if not self.stands:
            opening = any(dial.session is not None and not dial.opened for dial in self._dials)
            missing = [] if opening else sorted(missing, key=lambda dial: dial.tries)[:1]
        for dial in missing:
            dial.session = self._world.network.open_session(dial.path)
            dial.join = self._key if self.stands else None
            dial.tries += dial.join is None
            dial.deadline_ns = now_ns + _OPEN_NS
            dial.session.send(self._peer, ("hello", dial.join))
