"""Reads the configuration files anew while the node runs.

Rules:

* A file that would keep the node from starting changes nothing: the error is the answer.
* What only concerns what the node tells and suggests takes effect at once, and how fast and how often it copies and compares: where
  notifications go, when a pool is low, the default pool, the pace, the calendar. The rest decides how two nodes work together, or which doors are open; it takes effect at the next start, and the answer names it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from dataclasses import dataclass

from twindisk.config import NodeConfig, load
from twindisk.node.context import Node
from twindisk.node.log import Log
from twindisk.node.loop import boottime_ns
from twindisk.node.state import State
from twindisk.snmp.encoder import Start
from twindisk.snmp.settings import TrapSettings
from twindisk.snmp.traps import Traps

_AT_ONCE = {
    "traps": "Trap*",
    "pool_threshold_percent": "PoolThreshold",
    "default_pool": "DefaultPool",
    "pace": "SyncMinMiB, SyncMaxMiB, SyncLatencyMs",
    "verify_days": "VerifyDays",
}
_AT_NEXT_START = {
    "state_dir": "StateDir",
    "node_name": "NodeName",
    "portals": "Portal",
    "redirects": "Redirect",
    "memory_limit_mib": "MemoryLimitMiB",
    "recv_address": "RecvAddr",
    "control_port": "ControlPort",
    "data_port": "DataPort",
    "paths": "MirrorPath",
    "mirror_connections": "MirrorConnections",
    "link": "HeartbeatMs, SilenceMs, LeaseMs",
    "fence": "FenceLimitMs, HeadStartMs, WitnessLimitMs",
    "peer": "MirrorConnectTimeout, MirrorRecvTimeout, MirrorSendTimeout",
    "secret": "secret",
}


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Keys whose new values hold now, and keys whose new values need a restart."""

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


async def reload(node: Node) -> Reloaded:
    """Take over what may change while the node runs. Raises ConfigError; nothing is changed then."""
    old, new = node.config, load(node.config.etc)
    changed = _different(old, new, _AT_ONCE)
    needs_restart = _different(old, new, _AT_NEXT_START)
    node.config = dataclasses.replace(old, **{name: getattr(new, name) for name in (*_AT_ONCE, "warnings")})
    if new.traps != old.traps:
        before, node.traps = node.traps, make_traps(new.traps, node.state, node.node_id, node.log)
        node.traps.start()
        await asyncio.to_thread(before.close)
    if new.pace != old.pace:
        await asyncio.to_thread(set_pace, node)
    node.log.info("configuration read anew", changed=changed, needs_restart=needs_restart)
    return Reloaded(changed, needs_restart)


def set_pace(node: Node) -> None:
    """Tell the engine how fast resyncs and verifications may go. Blocks: use a thread."""
    pace = node.config.pace
    node.engine.set_pace(
        min_bytes_per_s=pace.min_mib << 20,
        max_bytes_per_s=None if pace.max_mib is None else pace.max_mib << 20,
        latency_ms=pace.latency_ms,
    )


def make_traps(settings: TrapSettings, state: State, node_id: str, log: Log) -> Traps:
    """Return a sender of notifications, counted as a start: receivers of SNMPv3 refuse what seems to come from before one."""
    boots = int(state.node_value("snmp-engine-boots") or 0) + 1
    state.set_node_value("snmp-engine-boots", str(boots))
    start = Start(node_id, boots, request_id=secrets.randbits(31), salt=secrets.randbits(64))
    return Traps(settings, start, log, lambda: boottime_ns() / 1e9)


def _different(old: NodeConfig, new: NodeConfig, fields: dict[str, str]) -> tuple[str, ...]:
    return tuple(keys for name, keys in fields.items() if getattr(old, name) != getattr(new, name))
