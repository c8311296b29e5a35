"""net-snmp's snmptrapd as a receiver on a loopback port, with our MIB modules; ended by its process id."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from twindisk.snmp.mibs import BASE_MODULES, MODULES

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Received:
    """One notification as snmptrapd wrote it: who sent it, and the objects."""

    head: str
    objects: tuple[str, ...]

    @property
    def message(self) -> str:
        return self.objects[-1].partition("STRING: ")[2]


class Snmptrapd:
    """A running snmptrapd."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self.log = directory / "snmptrapd.log"

    def received(self) -> list[Received]:
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        heads = [index for index, line in enumerate(lines[:-1]) if f"->[{HOST}]:{self.port}]:" in line]
        return [Received(lines[head], tuple(lines[head + 1].split("\t"))) for head in heads]

    async def wait_for(self, message: str, *, times: int = 1, limit_s: float = 20.0) -> Received:
        """Return the first notification with this message, once there are so many."""
        async with asyncio.timeout(limit_s):
            while True:
                found = [one for one in self.received() if one.message == message]
                if len(found) >= times:
                    return found[0]
                await asyncio.sleep(0.05)


def copy_mibs(directory: Path) -> Path:
    """Put our modules, and stand-ins for the IETF's, into a directory."""
    directory.mkdir()
    for module in (*MODULES, *BASE_MODULES):
        (directory / module.name).write_bytes(module.read_bytes())
    return directory


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def snmptrapd(directory: Path, configuration: Sequence[str]) -> AsyncIterator[Snmptrapd]:
    """Run snmptrapd in the foreground with these lines of configuration."""
    directory.mkdir()
    mibs = copy_mibs(directory / "mibs")
    conf = directory / "snmptrapd.conf"
    conf.write_text("\n".join(configuration) + "\n")
    receiver = Snmptrapd(directory, free_udp_port())
    process = await asyncio.create_subprocess_exec(
        *("snmptrapd", "-f", "-n", "-C", "-c", str(conf), "-Lf", str(receiver.log)),
        *("-M", str(mibs), "-m", "ALL", f"udp:{HOST}:{receiver.port}"),
        env={**os.environ, "SNMP_PERSISTENT_DIR": str(directory), "PATH": os.environ["PATH"] + ":/usr/sbin"},
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while not (receiver.log.exists() and "NET-SNMP version" in receiver.log.read_text()):
                assert process.returncode is None, receiver.log.read_text()
                await asyncio.sleep(0.05)
        yield receiver
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        print(f"--- what snmptrapd wrote\n{receiver.log.read_text('utf-8', 'replace')}")
