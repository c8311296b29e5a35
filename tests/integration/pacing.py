"""How fast a node's resyncs and verifications go, so that a test can look at them under way."""

from twindisk.demo.node import Node


async def pace(node: Node, mib_per_s: int | None) -> None:
    """Have a running node's resyncs and verifications go at this pace together; None: as fast as they can."""
    file = node.place.etc / "ndrecv.conf"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("Sync")]
    lines = [] if mib_per_s is None else [f"SyncMinMiB={mib_per_s}", f"SyncMaxMiB={mib_per_s}"]
    file.write_text("\n".join((*kept, *lines)) + "\n")
    await node.run("twindisk", "node", "reload")
