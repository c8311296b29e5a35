"""The life of a node: from its configuration to its end, in the order that keeps every promise.

Start: lock, state, engine, mirror address, links, copies, brain, portals, and the operators' socket last: who gets an answer there finds
a node that is up. A target is offered only when its copy is open, and answers NOT READY until the brain has decided.

Stop: the brain hands every VDisk over (``Stop``), then says ``Shutdown``; then doors, engine, state and lock, in this order.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from twindisk.api.app import operator_app, peer_app
from twindisk.brain import NodeState, PeerAddress
from twindisk.brain import events as ev
from twindisk.brain.model import Role, Settings
from twindisk.config import NodeConfig, Portal
from twindisk.errors import EngineError
from twindisk.node import access, checks, discovery, disks, links, parted, pool_watch, unbroken, vdisks, verifying
from twindisk.node.answers import Answers
from twindisk.node.claim_runs import ClaimRuns
from twindisk.node.context import Node
from twindisk.node.effects import EffectRunner
from twindisk.node.engine import EnginePort
from twindisk.node.fence_runs import FenceRuns
from twindisk.node.lock import PidLock
from twindisk.node.log import Log
from twindisk.node.loop import BrainLoop
from twindisk.node.mirroring import Mirroring
from twindisk.node.notices import Notices
from twindisk.node.peer import PeerClient
from twindisk.node.pool_watch import PoolWatch
from twindisk.node.reload import make_traps, set_pace
from twindisk.node.state import State
from twindisk.node.timers import Timers
from twindisk.node.unbroken_marks import BOOT_ID, UnbrokenMarks
from twindisk.node.verifying import VerifySchedule
from twindisk.node.web import WebServer, listen_unix

NO_ADDRESS = "0.0.0.0"  # noqa: S104 - the brain's name for a node without mirror address; nothing listens on it
PORTAL_RETRY_S = 5.0

MakeEngine = Callable[[NodeConfig], EnginePort]
MakeLog = Callable[[NodeConfig], Log]


@contextlib.asynccontextmanager
async def running_node(config: NodeConfig, make_engine: MakeEngine, make_log: MakeLog) -> AsyncIterator[RunningNode]:
    """Start a node and stop it at the end of the block. Raises StateError when it cannot start; nothing is changed then."""
    lock = PidLock.take(config.state_dir)
    try:
        log = make_log(config)
        state = State.open(config.state_dir)
        try:
            engine = make_engine(config)
            try:
                node = RunningNode(config, state, engine, log)
                try:
                    await node.start()
                    yield node
                finally:
                    await node.stop()
            finally:
                await asyncio.to_thread(engine.shutdown)
        finally:
            state.close()
    finally:
        lock.release()


class RunningNode:
    """All parts of a node, wired."""

    def __init__(self, config: NodeConfig, state: State, engine: EnginePort, log: Log) -> None:
        self.shutdown = asyncio.Event()
        """Set when the brain is done with a stop."""
        self._timers = Timers(lambda timer: loop.post(ev.TimerExpired(timer)))
        self._fences = FenceRuns(lambda event: loop.post(event), log)  # noqa: PLW0108 - loop is made below
        self._claims = ClaimRuns(lambda event: loop.post(event), state, config.etc, config.node_name, log)  # noqa: PLW0108 - see above
        answers, peer = Answers(), PeerClient(config, state)
        node_id = _node_id(state)
        traps = make_traps(config.traps, state, node_id, log)
        notices = Notices(state, log, lambda type_, text: self.node.traps.send(type_, text))  # noqa: PLW0108 - a reload makes others
        runner = EffectRunner(
            engine=engine,
            timers=self._timers,
            fences=self._fences,
            claims=self._claims,
            notices=notices,
            answers=answers,
            peer=peer,
            shutdown=self.shutdown.set,
            log=log,
        )
        settings = Settings(
            fence_limit_ms=config.fence.limit_ms,
            head_start_ms=config.fence.head_start_ms,
            witness_limit_ms=config.fence.witness_limit_ms,
        )
        brain = NodeState(address=PeerAddress(config.recv_address or NO_ADDRESS), settings=settings)
        loop = BrainLoop(
            brain,
            engine,
            runner.run,
            log,
            on_report=self._on_report,
            on_decided=self._on_decided,
            before_effects=partial(parted.remember, state, log),
        )
        self.node = Node(
            config=config,
            node_id=node_id,
            state=state,
            engine=engine,
            loop=loop,
            answers=answers,
            peer=peer,
            notices=notices,
            traps=traps,
            log=log,
            unbroken=UnbrokenMarks(config.state_dir / "unbroken", BOOT_ID.read_text("ascii").strip()),
        )
        self._operators = WebServer(lambda: operator_app(self.node))
        self._peer_door = WebServer(lambda: peer_app(self.node, config.secret or b""))
        self._mirroring = Mirroring(self.node, self._peer_door)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Bring everything up; see the module's order."""
        node = self.node
        for warning in node.config.warnings:
            node.log.warning(
                "configuration", file=warning.file, line=warning.line, key=warning.key, reason=warning.reason
            )
        node.traps.start()
        await asyncio.to_thread(set_pace, node)
        await disks.mount_all(node)
        await self._mirroring.begin()
        # The reports of the links wait in the engine until the brain knows the VDisks they are about.
        node.loop.start()
        for peer in sorted({check.peer for check in node.state.checks()}):
            await checks.tell_brain(node, peer)
        for vdisk in node.state.vdisks():
            await vdisks.open_known(node, vdisk)
        node.loop.take_reports()
        await discovery.apply(node)
        missing = await self._open_portals()
        self._tasks = [asyncio.create_task(self._mirroring.retry(), name="retry mirroring")]
        self._tasks.append(asyncio.create_task(PoolWatch(node).run(), name="watch pools"))
        self._tasks.append(asyncio.create_task(VerifySchedule(node).run(), name="verify mirrors"))
        if missing:
            self._tasks.append(asyncio.create_task(self._retry_portals(missing), name="retry portals"))
        self._operators.start(listen_unix(node.config.socket_path))
        node.log.info("node is up", recv=node.recv.value, vdisks=len(node.state.vdisks()), broken=len(node.broken))

    def ask_to_stop(self) -> None:
        """Have the brain hand everything over; ``shutdown`` is set when that is done."""
        self.node.log.info("stopping")
        self.node.loop.post(ev.Stop())

    async def stop(self) -> None:
        """Take everything down, whether the brain was asked to hand over or not."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.node.end_background()
        await asyncio.gather(self._operators.stop(), self._peer_door.stop())
        self.node.config.socket_path.unlink(missing_ok=True)
        self._timers.cancel_all()
        await asyncio.gather(self._fences.stop(), self._claims.stop())
        await self.node.loop.stop()
        await asyncio.to_thread(self.node.traps.close)
        await self.node.peer.close()
        self.node.log.info("node is down")

    async def _open_portals(self) -> list[tuple[str, int]]:
        """Open the portals; return those that could not be opened."""
        portals = [(portal.host, portal.port) for portal in self.node.config.portals]
        return [portal for portal in portals if not await self._open_portal(*portal)]

    async def _open_portal(self, host: str, port: int) -> bool:
        open_portal = partial(self.node.engine.open_portal, host, port)
        for redirect in self.node.config.redirects:
            if redirect.portal == Portal(host, port):
                open_portal = partial(open_portal, redirect=str(redirect.to), permanent=redirect.permanent)
        try:
            await asyncio.to_thread(open_portal)
        except EngineError as error:
            self.node.log.error("portal not opened", host=host, port=port, problem=error.problem)
            return False
        self.node.log.info("portal open", host=host, port=port)
        return True

    async def _retry_portals(self, missing: list[tuple[str, int]]) -> None:
        while missing:
            await asyncio.sleep(PORTAL_RETRY_S)
            missing = [portal for portal in missing if not await self._open_portal(*portal)]

    def _on_decided(self, event: ev.Event, before: NodeState) -> None:
        """Let the two nodes tell each other what must be alike on both, and keep in mind which copies are unbroken."""
        unbroken.follow(self.node, before)
        parted.follow(self.node, before)
        if isinstance(event, ev.PeerUp):
            self.node.unlinked.pop(event.peer, None)
        if isinstance(event, ev.Attached) and event.role is Role.SLAVE:
            access.settle(self.node, event.vdisk)
        elif isinstance(event, ev.PeerUp | ev.ChecksChanged):
            checks.tell_peer(self.node, event.peer)

    def _on_report(self, report: dict[str, Any]) -> None:
        """Log what the brain has no use for and people have."""
        kind = report["kind"]
        if kind in ("session_opened", "session_closed"):
            self.node.log.info(
                kind.replace("_", " "),
                vdisk=report.get("vdisk"),
                initiator=report.get("initiator"),
                address=report.get("address"),
            )
        elif kind == "verified":
            verifying.ended(self.node, report)
        elif kind == "no_space":
            pool_watch.tell_no_space(self.node, report["vdisk"])
        elif kind == "peer_version":
            links.tell_versions(self.node, report["peer"], report["theirs"], report["ours"])
        elif kind in ("path_down", "path_up"):
            links.tell_path(self.node, report["peer"], report["own"], report["theirs"], up=kind == "path_up")
        elif kind == "login_refused":
            self.node.log.warning(
                "login refused",
                initiator=report["initiator"],
                target=report["target"],
                address=report["address"],
                status=f"{report['status']:04x}",
                unreported=report["unreported"] or None,
            )
        else:
            self.node.log.debug("engine report", report=report)


def _node_id(state: State) -> str:
    found = state.node_value("id")
    if found is None:
        found = uuid.uuid4().hex
        state.set_node_value("id", found)
    return found
