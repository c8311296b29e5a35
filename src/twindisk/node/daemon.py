"""``twindiskd``: one node in the foreground. SIGTERM and SIGINT hand over to the peer and end; a second one ends at once.

Exit status: 0 after a clean stop, 1 when the node cannot start (with a sentence on standard error), 130 when it was cut short.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path

from twindisk.config import NodeConfig, etc_directory, load
from twindisk.errors import TwindiskError
from twindisk.node.descriptors import raise_descriptor_limit
from twindisk.node.engine import EnginePort
from twindisk.node.log import Log, open_log
from twindisk.node.run import running_node
from twindisk.node.supervisor import Supervisor
from twindisk.sentences import tell

STOP_LIMIT_S = 15.0
_CUT_SHORT = 130


def main() -> None:
    """Run the daemon."""
    options = arguments().parse_args()
    faulthandler.enable()  # the watchdog of systemd ends a daemon that hangs by SIGABRT; this says where it hung
    try:
        config = load(options.etc or etc_directory())
        raise_descriptor_limit()
        asyncio.run(_serve(config, logging.DEBUG if options.debug else logging.INFO))
    except TwindiskError as error:
        sys.stderr.write(f"twindiskd: {tell(error).detail}\n")
        sys.exit(1)


def arguments() -> argparse.ArgumentParser:
    """Return what the daemon can be told on the command line."""
    parser = argparse.ArgumentParser(prog="twindiskd", description="Run a Twindisk node in the foreground.")
    parser.add_argument("--etc", type=Path, help="configuration directory (default: TWINDISK_ETC or /etc/twindisk)")
    parser.add_argument("--debug", action="store_true", help="log every decision")
    return parser


async def _serve(config: NodeConfig, level: int) -> None:
    def make_log(of: NodeConfig) -> Log:
        return open_log(of.state_dir, node=of.node_name, level=level)

    loop = asyncio.get_running_loop()
    supervisor = Supervisor.from_environment(os.environ, os.getpid())
    async with running_node(config, _make_engine, make_log) as node:
        signals = 0

        def on_signal() -> None:
            nonlocal signals
            signals += 1
            if signals == 1:
                supervisor.stopping()
                node.ask_to_stop()
                loop.call_later(STOP_LIMIT_S, node.shutdown.set)
            else:
                os._exit(_CUT_SHORT)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        supervisor.ready()
        life = asyncio.create_task(supervisor.show_life(), name="watchdog")
        await node.shutdown.wait()
        life.cancel()


def _make_engine(config: NodeConfig) -> EnginePort:
    # Imported here, so that commands and tests that need no engine need no binary.
    from twindisk._native import Engine  # noqa: PLC0415

    link = config.link
    return Engine(
        heartbeat_ms=link.heartbeat_ms,
        silence_ms=link.silence_ms,
        lease_ms=link.lease_ms,
        memory_limit_bytes=config.memory_limit_mib << 20,
    )


if __name__ == "__main__":
    main()
