"""Scripts of SCSI commands: who sends what over which node, what must come back, and which node is killed in between.

    # A comment.
    alpha@left    register-ignore a1      : good
    alpha@left    reserve we-ro a1        : good
    kill left
    beta@right    write 8 word            : conflict

Rules:

* Every line of a host has an expectation; a script ends at the first that is not met, and shows the lines up to there.
* A host is an initiator with a path to each node; ``left`` is the node that scripts kill, ``right`` the one that carries on.
* A host logs in when it first uses a path, and again when the path's session was lost, as the same initiator port.
* A node that does not serve yet (NOT READY) is asked again, as every multipath driver does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from integration.reservation_client import (
    CHECK,
    CLEAR,
    GOOD,
    IGNORE,
    PREEMPT,
    PREEMPT_AND_ABORT,
    REGISTER,
    RELEASE,
    RESERVE,
    Port,
)
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair
from twindisk.initiator import ConnectionLostError, LoginError, SenseKey, StatusError, cdb

TYPES = {"we": 1, "ea": 3, "we-ro": 5, "ea-ro": 6, "we-ar": 7, "ea-ar": 8}
BLOCK_BYTES = 512
_ATTENTIONS = {
    (0x29, 0x00): "power-on",
    (0x29, 0x03): "reset",
    (0x2A, 0x03): "cleared",
    (0x2A, 0x04): "released",
    (0x2A, 0x05): "preempted",
}
_ACTIONS = {"reserve": RESERVE, "release": RELEASE, "preempt": PREEMPT, "preempt-abort": PREEMPT_AND_ABORT}
_PATIENCE_S = 60.0

Command = Callable[..., Awaitable[str]]


def content(word: str) -> bytes:
    """Return the block that a word stands for; ``blank`` is a block that nobody wrote."""
    return b"" if word == "blank" else word.encode().ljust(BLOCK_BYTES, b".")


@dataclass
class Script:
    """A script's actors: the pair, which node is ``left``, the hosts' ports as they log in."""

    pair: Pair
    left: Node
    ports: dict[tuple[str, str], Port] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        return {"left": self.left, "right": self.pair.other(self.left)}[name]

    async def run(self, text: str) -> None:
        """Run a script to its end. Raises AssertionError with the line that went wrong."""
        done = []
        try:
            for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
                done.append(line)
                seen, expected = await self._step(line)
                if seen != expected:
                    raise AssertionError("\n".join([*done, f"answered {seen!r}"]))
        except (TimeoutError, StatusError, ConnectionLostError) as error:
            error.add_note("\n".join(done))
            raise
        finally:
            for port in self.ports.values():
                await port.session.close()

    async def _step(self, line: str) -> tuple[str, str]:
        command, _, expected = (part.strip() for part in line.partition(" : "))
        who, *words = command.split()
        if "@" in who:
            host, _, side = who.partition("@")
            async with asyncio.timeout(_PATIENCE_S):
                return await self._ask(host, side, words), expected
        controls: dict[str, Callable[..., Awaitable[None]]] = {
            "kill": lambda side: self.node(side).kill(),
            "stop": lambda side: self.node(side).stop(),
            "start": lambda side: self.node(side).start(),
            "alone": lambda side: self.pair.wait_alone(self.node(side)),
            "enabled": self.pair.wait_enabled,
        }
        await controls[who](*words)
        return "", expected

    async def _ask(self, host: str, side: str, words: list[str]) -> str:
        while True:
            port = await self._port(host, side)
            answer = await answer_of(port, words)
            if answer != CHECK:
                return answer
            assert port.refused is not None
            if port.refused[0] != SenseKey.NOT_READY:
                return f"check {SenseKey(port.refused[0]).name.lower()} {port.refused[1]:02x}/{port.refused[2]:02x}"
            await asyncio.sleep(0.02)

    async def _port(self, host: str, side: str) -> Port:
        port = self.ports.get((host, side))
        number = self._numbers.setdefault(host, len(self._numbers) + 1)
        while port is None or not port.session.connected:
            try:
                port = self.ports[host, side] = await Port.log_in(self.pair, self.node(side), number)
            except LoginError:
                await asyncio.sleep(0.02)
        return port


async def answer_of(port: Port, words: list[str]) -> str:
    """Send one command of a script; return its answer in the script's words."""
    verb, *rest = words
    if verb in _CHANGES:
        return await _CHANGES[verb](port, *rest)
    if verb in _ACTIONS:
        kind, key, *victim = rest
        action_key = int(victim[0], 16) if victim else 0
        return await port.out(_ACTIONS[verb], TYPES[kind], int(key, 16), action_key)
    return await _QUESTIONS[verb](port, *rest)


async def _register(port: Port, key: str, new: str) -> str:
    return await port.out(REGISTER, key=int(key, 16), action_key=int(new, 16), flags=1)


async def _register_ignore(port: Port, new: str) -> str:
    return await port.out(IGNORE, action_key=int(new, 16), flags=1)


async def _clear(port: Port, key: str) -> str:
    return await port.out(CLEAR, key=int(key, 16))


async def _keys(port: Port) -> str:
    return " ".join(f"{key:x}" for key in await port.keys()) or "none"


async def _reservation(port: Port) -> str:
    held = await port.held()
    names = {kind: name for name, kind in TYPES.items()}
    return f"{names[held[0]]} {held[1]:x}" if held else "none"


async def _turs(port: Port) -> str:
    return (await port.run(cdb.test_unit_ready()))[0]


async def _read(port: Port, block: str) -> str:
    status, data = await port.run(cdb.read_16(int(block), 1), data_in_bytes=BLOCK_BYTES)
    return data.rstrip(b".").rstrip(b"\0").decode() or "blank" if status == GOOD else status


async def _write(port: Port, block: str, word: str) -> str:
    return (await port.run(cdb.write_16(int(block), 1), data_out=content(word)))[0]


async def _compare_and_write(port: Port, block: str, old: str, new: str) -> str:
    data_out = content(old).ljust(BLOCK_BYTES, b"\0") + content(new)
    return (await port.run(cdb.compare_and_write(int(block), 1), data_out=data_out))[0]


async def _reserve_unit(port: Port) -> str:
    return (await port.run(bytes([0x16, 0, 0, 0, 0, 0])))[0]


async def _release_unit(port: Port) -> str:
    return (await port.run(bytes([0x17, 0, 0, 0, 0, 0])))[0]


async def _reset(port: Port) -> str:
    return "done" if await port.session.reset_logical_unit() == 0 else "rejected"


async def _attentions(port: Port) -> str:
    await port.run(cdb.test_unit_ready())
    met = [_ATTENTIONS.get(code, f"{code[0]:02x}/{code[1]:02x}") for code in port.attentions]
    port.attentions.clear()
    return " ".join(met) or "none"


_CHANGES: dict[str, Command] = {"register": _register, "register-ignore": _register_ignore, "clear": _clear}
_QUESTIONS: dict[str, Command] = {
    "attentions": _attentions,
    "compare-and-write": _compare_and_write,
    "keys": _keys,
    "read": _read,
    "release-unit": _release_unit,
    "reservation": _reservation,
    "reserve-unit": _reserve_unit,
    "reset": _reset,
    "turs": _turs,
    "write": _write,
}
