"""A pair of real daemons on cables of its own, for torture runs and for measurements of losses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from torture.machine import Machine
from torture.timeline import Timeline
from torture.wires import Wires
from twindisk.demo.pair import Pair
from twindisk.demo.place import NodePlace, write_configuration


def places(root: Path, wires: Wires) -> tuple[NodePlace, NodePlace]:
    """Place the nodes on their cables."""
    first, second = (
        NodePlace(
            name=f"vm{10 + number}",
            portal_address=wires.clients[number].ends[1].address,
            portal_port=3260,
            mirror_address=wires.mirror.ends[number].address,
            control_port=9953,
            data_port=9955,
            root=root / f"vm{10 + number}",
        )
        for number in range(2)
    )
    return first, second


def spare_path(wires: Wires, node: int, connections: int) -> str:
    """Return the lines of a node's ndrecv.conf for the spare cable."""
    words = (wires.mirror.ends[1 - node], wires.spare.ends[node], wires.spare.ends[1 - node])
    return f"MirrorPath={' '.join(end.address for end in words)}\nMirrorConnections={connections}\n"


@asynccontextmanager
async def tortured_pair(
    root: Path, own: str, timeline: Timeline | None = None, ndrecv: str = "", connections: int = 0
) -> AsyncIterator[tuple[Pair, tuple[Machine, Machine], Wires]]:
    """Start two daemons that know nothing yet; kill them at the end, whatever happened.

    ``own`` is the initiators' namespace (:func:`torture.wires.enter_new_network`), ``ndrecv`` more lines for ndrecv.conf;
    ``connections``: over the mirror cable and the spare one each; 0: one over the mirror cable alone.
    """
    wires = Wires.lay(own)
    where = places(root, wires)
    write_configuration(where)
    first, second = (
        Machine(place, network, timeline or Timeline()) for place, network in zip(where, wires.namespaces, strict=True)
    )
    machines = (first, second)
    for number, machine in enumerate(machines):
        machine.bmc("works")
        with (machine.place.etc / "ndrecv.conf").open("a") as file:
            file.write(ndrecv)
            if connections:
                file.write(spare_path(wires, number, connections))
    pair = Pair(*machines)
    try:
        await pair.start()
        yield pair, machines, wires
    finally:
        for machine in machines:
            await asyncio.shield(machine.take_down(0))
        wires.take_up()
