"""Brings a plan's faults over a pair, and takes them back.

Every fault is a task that ends by itself or is cancelled at the round's end; either way it leaves nothing broken behind, except
daemons that are down, which their machines start again.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from torture.machine import Machine
from torture.plan import FENCED, Fault
from torture.registers import session_options
from torture.timeline import Timeline
from torture.wires import Cable, Wires
from twindisk.demo.node import CommandFailedError
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import InitiatorError, Session


class Faults:
    """All faults of a run."""

    def __init__(
        self,
        pair: Pair,
        machines: tuple[Machine, Machine],
        wires: Wires,
        timeline: Timeline,
        checks: str,
        *,
        cables: int,
    ) -> None:
        self._pair = pair
        self.machines = machines
        self._wires = wires
        self._timeline = timeline
        self.checks = checks
        self.cables = cables
        self._troubles: list[list[str]] = [[], []]
        self.counts: Counter[str] = Counter()

    async def bring(self, faults: list[Fault], span_s: float) -> None:
        """Bring every fault at its time; when the span is over, take everything back."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._bring(fault)) for fault in faults]
            await asyncio.sleep(span_s)
            for task in tasks:
                task.cancel()
        for machine in self.machines:
            machine.down_until = 0.0
        self._timeline.note("**", "healed")

    async def _bring(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        self.counts[fault.kind] += 1
        self._timeline.note("**", str(fault))
        act = getattr(self, "_" + fault.kind.replace("-", "_"))
        async with contextlib.AsyncExitStack() as stack:
            if fault.kind in FENCED and fault.detail:
                await stack.enter_async_context(self._checks_go(fault))
            await act(self.machines[fault.node], fault)
        self._timeline.note("**", f"over: {fault}")

    def _other(self, node: int) -> Machine:
        return self.machines[1 - node]

    def _cables(self, fault: Fault) -> tuple[Cable, ...]:
        """Return which of the cables between the nodes a cut is of."""
        return self._wires.between if fault.cable is None else (self._wires.between[fault.cable],)

    def _mirror_way(self, fault: Fault) -> int:
        """Return the direction of the mirror cable that a one-way cut of the fault's node loses."""
        return fault.node if fault.way else 1 - fault.node

    @contextlib.asynccontextmanager
    async def _without(self, *cables: Cable) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for cable in cables:
                await stack.enter_async_context(cable.without(0, 1))
            yield

    async def _kill(self, machine: Machine, fault: Fault) -> None:
        await machine.take_down(fault.lasts_s)
        if fault.detail:
            await asyncio.sleep(fault.lasts_s)

    async def _kill_both(self, machine: Machine, fault: Fault) -> None:
        await machine.take_down(fault.lasts_s)
        await self._other(fault.node).take_down(fault.lasts_s / 2)

    async def _power(self, machine: Machine, fault: Fault) -> None:
        """Lose a machine without a last word on any cable."""
        async with self._without(*self._wires.between, self._wires.clients[fault.node]):
            await machine.take_down(fault.lasts_s)
            await asyncio.sleep(fault.lasts_s)

    async def _freeze(self, machine: Machine, fault: Fault) -> None:
        await machine.freeze(fault.lasts_s)

    async def _freeze_both(self, machine: Machine, fault: Fault) -> None:
        other = self._other(fault.node)
        await asyncio.gather(machine.freeze(fault.lasts_s), other.freeze(fault.lasts_s * 0.9))

    async def _cut(self, _machine: Machine, fault: Fault) -> None:
        async with self._without(*self._cables(fault)):
            await asyncio.sleep(fault.lasts_s)

    async def _cut_one_way(self, _machine: Machine, fault: Fault) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for cable in self._cables(fault):
                await stack.enter_async_context(cable.without(self._mirror_way(fault)))
            await asyncio.sleep(fault.lasts_s)

    async def _flap(self, _machine: Machine, fault: Fault) -> None:
        for part in (0.05, 0.3, 0.1, 0.4, 0.15):
            async with self._without(*self._cables(fault)):
                await asyncio.sleep(fault.lasts_s * part)
            await asyncio.sleep(fault.lasts_s * part / 3)

    async def _client_cut(self, _machine: Machine, fault: Fault) -> None:
        async with self._wires.clients[fault.node].without(0, 1):
            await asyncio.sleep(fault.lasts_s)

    async def _client_cut_one_way(self, _machine: Machine, fault: Fault) -> None:
        async with self._wires.clients[fault.node].without(fault.way):
            await asyncio.sleep(fault.lasts_s)

    async def _isolate(self, _machine: Machine, fault: Fault) -> None:
        async with self._without(*self._wires.between, self._wires.clients[fault.node]):
            await asyncio.sleep(fault.lasts_s)

    async def _stop(self, machine: Machine, fault: Fault) -> None:
        await machine.stop_cleanly(fault.lasts_s)

    async def _stop_both(self, machine: Machine, fault: Fault) -> None:
        other = self._other(fault.node)
        await asyncio.gather(machine.stop_cleanly(fault.lasts_s), other.stop_cleanly(fault.lasts_s / 2))

    async def _reset(self, machine: Machine, _fault: Fault) -> None:
        """Send a LOGICAL UNIT RESET, as an initiator does whose patience is over."""
        options = session_options("reset", 0)
        try:
            async with await Session.connect(machine.place.portal, iqn(self._pair.vdisk), options) as session:
                async with asyncio.timeout(5):
                    machine.note(f"answered a logical unit reset with {await session.reset_logical_unit()}")
        except (InitiatorError, TimeoutError) as error:
            machine.note(f"did not answer a logical unit reset: {error}")

    async def _switch(self, machine: Machine, fault: Fault) -> None:
        try:
            async with asyncio.timeout(20):
                await machine.run("qsync", "-s", self._pair.vdisk, "-m", fault.detail)
        except CommandFailedError as error:
            machine.note(f"refused: {' '.join(error.output.split())}")
        except TimeoutError:
            machine.note("no answer to qsync")

    async def _fencing(self, _machine: Machine, fault: Fault) -> None:
        async with self._checks_go(fault):
            await asyncio.sleep(fault.lasts_s)

    _witness = _fencing

    @contextlib.asynccontextmanager
    async def _checks_go(self, fault: Fault) -> AsyncIterator[None]:
        """Let fence commands against the fault's node, or its view of the witness, go as it says; the latest such word counts."""
        concerned = (0, 1) if fault.both else (fault.node,)
        for node in concerned:
            self._troubles[node].append(fault.detail)
            self._tell(node, fault.detail)
        try:
            yield
        finally:
            for node in concerned:
                self._troubles[node].remove(fault.detail)
                self._tell(node, self._troubles[node][-1] if self._troubles[node] else "works")

    def _tell(self, node: int, words: str) -> None:
        machine = self.machines[node]
        if self.checks == "witness":
            machine.see_witness(words)
        else:
            machine.bmc(words)
