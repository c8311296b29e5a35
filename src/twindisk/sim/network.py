"""The network between the two nodes: streams that keep their order, datagrams that do not.

Rules:

1. A stream's data are delivered in order or not at all; a cut delays them until it is healed or the session ends.
2. A process that dies resets its sessions, and the end of what it sent may be lost; power loss resets nothing.
3. Datagrams may be lost, doubled, delayed and so reordered. A cut is one-way.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from twindisk.sim.clock import MS, Clock

RESET = object()
"""Comes instead of data when the other side ended the session."""


class End(Protocol):
    """What the network delivers to."""

    def arrived(self, session: "Session", data: Any) -> None:
        """Take data, or :data:`RESET`."""

    def confirmed(self, session: "Session", len_bytes: int) -> None:
        """Note that what was sent over a session has arrived."""

    def datagram(self, data: bytes) -> None:
        """Take a datagram."""


@dataclass(slots=True)
class _Way:
    queue: deque[tuple[int, Any]] = field(default_factory=deque)
    last_ns: int = 0
    waking: bool = False
    open: bool = True
    """The receiver still listens."""
    unheard_ns: int = 0
    """When something was sent first that nobody takes any more; 0: nothing."""

    def shut(self) -> None:
        """Take nothing more."""
        self.open = False
        if self.queue:
            self.unheard_ns = self.queue[0][0]
        self.queue.clear()


class Session:
    """One connection; way ``n`` carries what is delivered to node ``n``."""

    def __init__(self, network: "Network", number: int, path: int, key: bytes) -> None:
        self.network = network
        self.number = number
        self.path = path
        self.key = key
        self.ways = (_Way(), _Way())

    def send(self, to: int, data: Any) -> None:
        """Send to a node."""
        self.network.queue(self, to, data)

    def close(self, by: int) -> None:
        """One side is done with it: it takes nothing more, the other is told."""
        if self.ways[by].open:
            self.ways[by].shut()
            self.network.queue(self, 1 - by, RESET)


class Network:
    """Both directions between node 0 and node 1."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self.ends: list[End] = []
        self.cut: set[int] = set()
        """Nodes that nothing gets through to."""
        self.cut_paths: set[tuple[int, int]] = set()
        """The same over one path: the path, the node."""
        self.mute: set[int] = set()
        """Paths that only datagrams get through."""
        self.factors: tuple[float, ...] = (1.0,)
        """How much longer what goes over each path takes."""
        self.loss = 0.0
        self.delay_ms = 0.3
        self._sessions: list[Session] = []
        self._count = 0

    def open_session(self, path: int) -> Session:
        """Make a session over a path, with a key of its own."""
        self._count += 1
        session = Session(self, self._count, path, self._rng.randbytes(32))
        self._sessions.append(session)
        del self._sessions[:-32]
        return session

    def _is_cut(self, path: int, to: int) -> bool:
        return to in self.cut or (path, to) in self.cut_paths

    def _is_stuck(self, session: Session, to: int) -> bool:
        return session.path in self.mute or self._is_cut(session.path, to)

    def _delay_ns(self, path: int) -> int:
        chance = self._rng.random()
        factor = self._rng.random() + 0.2
        if chance > 0.97:
            factor *= 40
        return int(self.delay_ms * factor * self.factors[path] * MS)

    def queue(self, session: Session, to: int, data: Any) -> None:
        """Put data on a session's way to a node."""
        way = session.ways[to]
        if not way.open:
            way.unheard_ns = way.unheard_ns or self._clock.now_ns
            return
        way.last_ns = max(way.last_ns, self._clock.now_ns + self._delay_ns(session.path))
        way.queue.append((way.last_ns, data))
        self._wake(session, to)

    def _wake(self, session: Session, to: int) -> None:
        way = session.ways[to]
        if way.queue and not way.waking and not self._is_stuck(session, to):
            way.waking = True
            self._clock.after(max(0, way.queue[0][0] - self._clock.now_ns), self._deliver, session, to)

    def _deliver(self, session: Session, to: int) -> None:
        way = session.ways[to]
        way.waking = False
        if self._is_stuck(session, to) or not way.queue:
            return
        if way.queue[0][0] <= self._clock.now_ns:
            data = way.queue.popleft()[1]
            if data is RESET:
                way.open = False
            if isinstance(data, bytes):
                self.ends[1 - to].confirmed(session, len(data))
            self.ends[to].arrived(session, data)
        self._wake(session, to)

    def heal(self, to: int) -> None:
        """Let through what goes to a node again."""
        self.cut.discard(to)
        for session in self._sessions:
            self._wake(session, to)

    def heal_path(self, path: int, to: int) -> None:
        """Let through what goes to a node over one path again."""
        self.cut_paths.discard((path, to))
        for session in self._sessions:
            self._wake(session, to)

    def unmute(self, path: int) -> None:
        """Let streams through a path again."""
        self.mute.discard(path)
        for session in self._sessions:
            for to in (0, 1):
                self._wake(session, to)

    def is_overdue(self, session: Session, to: int, after_ns: int) -> bool:
        """Return whether something that was sent to a node has been due for so long."""
        way = session.ways[to]
        since_ns = way.queue[0][0] if way.queue else way.unheard_ns
        return bool(since_ns) and since_ns + after_ns <= self._clock.now_ns

    def reset_all(self) -> None:
        """Break every session for both sides (a middle box lost its state)."""
        for session in self._sessions:
            self._reset(session)

    def reset_busy(self, rng: random.Random) -> bool:
        """Break one session for both sides while something is under way over it; return whether there was one."""
        busy = [
            one for one in self._sessions if all(way.open for way in one.ways) and any(way.queue for way in one.ways)
        ]
        if busy:
            self._reset(rng.choice(busy))
        return bool(busy)

    def _reset(self, session: Session) -> None:
        for node in (0, 1):
            session.ways[node].queue.clear()
            self.queue(session, node, RESET)

    def process_died(self, node: int) -> None:
        """Reset a node's sessions; the end of what it sent may be lost."""
        for session in self._sessions:
            queue = session.ways[1 - node].queue
            if queue and self._rng.random() < 0.5:
                for _ in range(self._rng.randrange(len(queue) + 1)):
                    queue.pop()
            session.close(node)

    def power_lost(self, node: int) -> None:
        """Forget a node's sessions without a word."""
        for session in self._sessions:
            session.ways[node].shut()

    def reboot(self, node: int) -> None:
        """Reset what a node that lost power knows nothing of any more."""
        for session in self._sessions:
            if session.ways[1 - node].open and not session.ways[node].open:
                self.queue(session, 1 - node, RESET)

    def datagram(self, to: int, data: bytes) -> None:
        """Send a datagram, over every path."""
        for path in range(len(self.factors)):
            copies = 0 if self._rng.random() < self.loss else 2 if self._rng.random() < 0.01 else 1
            for _ in range(copies):
                self._clock.after(self._delay_ns(path), self._hand, path, to, data)

    def _hand(self, path: int, to: int, data: bytes) -> None:
        if not self._is_cut(path, to):
            self.ends[to].datagram(data)
