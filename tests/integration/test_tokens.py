"""Offloaded data transfer through both nodes: what a token stands for is what was there when it was made, or it is refused."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from integration.reservation_client import CONFLICT, GOOD, REGISTER, RESERVE, Port, clear_all
from integration.token_client import (
    EXPIRED,
    REVOKED,
    UNKNOWN,
    ended,
    information,
    populate,
    refused,
    token_of,
    write,
)
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import CheckConditionError, Session, SessionOptions
from twindisk.initiator.tokens import (
    BACKGROUND,
    CHANGE_VULNERABLE,
    DONE,
    FAILED,
    PARTIAL,
    POINT_IN_TIME,
    TERMINATED,
    populate_parameters,
    populate_token,
    write_parameters,
    write_using_token,
    zero_token,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

MIB = 1 << 20
BLOCK = 512
IN_MIB = MIB // BLOCK
OTHER = "M2"
OPTIONS = SessionOptions(timeout_s=30)
WRITE_EXCLUSIVE, EXCLUSIVE = 1, 3
INVALID_CDB = (0x05, 0x24, 0x00)


@contextlib.asynccontextmanager
async def log_in(pair: Pair, node: int) -> AsyncIterator[Session]:
    """Log in to a pair's VDisk at its first or second node."""
    async with await Session.connect(pair.portals[node], iqn(pair.vdisk), OPTIONS) as session:
        await session.clear_unit_attentions()
        yield session


async def test_a_token_of_one_node_is_good_at_both_and_for_another_vdisk(pair: Pair, other: Pair) -> None:
    data = os.urandom(3 * MIB + 3 * BLOCK)
    ranges = [(IN_MIB, IN_MIB), (0, IN_MIB), (8 * IN_MIB, IN_MIB + 3)]
    for at in (0, 1):
        async with log_in(pair, at) as here, log_in(pair, 1 - at) as there, log_in(other, 1 - at) as elsewhere:
            await there.write(MIB, data[:MIB])
            await here.write(0, data[MIB : 2 * MIB])
            await there.write(8 * MIB, data[2 * MIB :])
            token = await token_of(here, ranges)
            for user, lba in ((here, 20 * IN_MIB), (there, 30 * IN_MIB), (elsewhere, 7)):
                await write(user, token, [(lba, len(data) // BLOCK)])
                told = await information(user, 2)
                assert (told.status, told.blocks, told.sense) == (DONE, len(data) // BLOCK, None)
                assert await user.read(lba * BLOCK, len(data)) == data
            await write(there, token, [(50 * IN_MIB, 2), (9, 1)], offset=IN_MIB - 1, delete=True)
            at_offset = data[MIB - BLOCK :]
            assert await here.read(50 * MIB, 2 * BLOCK) == at_offset[: 2 * BLOCK]
            assert await here.read(9 * BLOCK, BLOCK) == at_offset[2 * BLOCK : 3 * BLOCK]
            for user in (here, there):
                assert await refused(user, token, [(50 * IN_MIB, 1)]) == UNKNOWN, "it was deleted"
    assert (await compare_when_idle(pair)).first_difference is None
    assert (await compare_when_idle(other)).first_difference is None


async def test_a_change_through_either_node_ends_a_token_and_its_target_stays(pair: Pair, other: Pair) -> None:
    for maker in (0, 1):
        for writer in (0, 1):
            async with (
                log_in(pair, maker) as making,
                log_in(pair, writer) as writing,
                log_in(pair, 1 - writer) as same,
                log_in(other, writer) as elsewhere,
            ):
                await writing.write(0, b"o" * (2 * MIB))
                token = await token_of(making, [(0, 2 * IN_MIB)])
                await writing.write(2 * MIB, b"n" * BLOCK)
                before = os.urandom(MIB)
                for user in (same, elsewhere):
                    await user.write(40 * MIB, before)
                    await write(user, token, [(60 * IN_MIB, 2 * IN_MIB)])
                    assert await user.read(60 * MIB, 2 * MIB) == b"o" * (2 * MIB)
                await writing.write(2 * MIB - BLOCK, b"n" * BLOCK)
                for user in (making, writing, same, elsewhere):
                    assert await refused(user, token, [(40 * IN_MIB, IN_MIB)]) == REVOKED
                    told = await information(user, 2)
                    assert (told.status, told.blocks, told.sense) == (FAILED, 0, REVOKED)
                for user in (same, elsewhere):
                    assert await user.read(40 * MIB, MIB) == before


async def test_a_write_while_a_token_is_used_leaves_old_data_or_nothing(pair: Pair, other: Pair) -> None:
    size = 24 * MIB
    async with log_in(pair, 0) as making, log_in(pair, 1) as writing, log_in(other, 0) as using:
        for at in range(0, size, 4 * MIB):
            await making.write(at, b"o" * (4 * MIB))
            await using.write(at, b"t" * (4 * MIB))
        token = await token_of(making, [(0, size // BLOCK)])
        await write(using, token, [(0, size // BLOCK)], immediate=True)
        while (await information(using, 2)).blocks < 2 * IN_MIB:
            await asyncio.sleep(0)
        await writing.write(size - MIB, b"n" * MIB)
        told = await ended(using, 2)
        found = b"".join([await using.read(at, 4 * MIB) for at in range(0, size, 4 * MIB)])
        written = told.blocks * BLOCK
        assert found == b"o" * written + b"t" * (size - written)
        assert (told.status, told.sense) in ((DONE, None), (FAILED, REVOKED))
        assert (told.status == DONE) == (written == size)
        print(f"{written} of {size} bytes written before the change")


async def test_zeros_need_no_source(pair: Pair) -> None:
    async with log_in(pair, 0) as here, log_in(pair, 1) as there:
        await here.write(0, b"x" * (4 * MIB))
        await write(there, zero_token(), [(1, IN_MIB), (3 * IN_MIB, 7)], offset=1 << 30)
        expected = bytearray(b"x" * (4 * MIB))
        expected[BLOCK : BLOCK + MIB] = bytes(MIB)
        expected[3 * MIB : 3 * MIB + 7 * BLOCK] = bytes(7 * BLOCK)
        assert await here.read(0, 4 * MIB) == expected


async def test_a_token_is_asked_for_in_the_background_and_told_once(pair: Pair) -> None:
    async with log_in(pair, 1) as here, log_in(pair, 0) as there:
        await here.write(0, b"b" * MIB)
        await populate(here, [(0, IN_MIB)], 0xCAFEBABE, immediate=True, kind=POINT_IN_TIME)
        told = await ended(here, 0xCAFEBABE)
        assert (told.action, told.status, told.blocks) == (0x10, DONE, IN_MIB)
        token = told.token
        assert token is not None
        assert int.from_bytes(token[:4]) == CHANGE_VULNERABLE
        assert (await information(here, 0xCAFEBABE)).token is None
        with pytest.raises(CheckConditionError) as unknown:
            await information(there, 0xCAFEBABE)
        assert (unknown.value.sense.code, unknown.value.sense.qualifier) == INVALID_CDB[1:]
        await write(there, token, [(64 * IN_MIB, 2 * IN_MIB)], 7, immediate=True)
        told = await ended(there, 7)
        assert (told.action, told.status, told.blocks) == (0x11, PARTIAL, IN_MIB), "there is no more"
        assert await here.read(64 * MIB, MIB) == b"b" * MIB


async def test_a_list_identifier_is_in_use_until_its_command_has_ended(pair: Pair, other: Pair) -> None:
    size = 64 * MIB
    async with log_in(pair, 0) as here, log_in(other, 0) as using:
        for at in range(0, size, 8 * MIB):
            await here.write(at, b"l" * (8 * MIB))
        token = await token_of(here, [(0, size // BLOCK)])
        parameters = write_parameters(token, [(0, size // BLOCK)], immediate=True)
        block = write_using_token(5, len(parameters))
        first, second = await asyncio.gather(
            using.command(block, data_out=parameters),
            using.command(block, data_out=parameters),
            return_exceptions=True,
        )
        assert first == b""
        assert isinstance(second, CheckConditionError)
        assert (second.sense.code, second.sense.qualifier) == (0x00, 0x16)
        assert (await information(using, 5)).status in (BACKGROUND, DONE)
        assert (await ended(using, 5)).status == DONE


async def test_a_reset_ends_what_a_token_is_used_for_in_the_background(pair: Pair, other: Pair) -> None:
    size = 64 * MIB
    async with log_in(pair, 0) as here, log_in(other, 1) as using, log_in(other, 0) as resetting:
        for at in range(0, size, 8 * MIB):
            await here.write(at, b"r" * (8 * MIB))
            await using.write(at, b"t" * (8 * MIB))
        token = await token_of(here, [(0, size // BLOCK)])
        await write(using, token, [(0, size // BLOCK)], 6, immediate=True)
        assert await resetting.reset_logical_unit() == 0
        await using.clear_unit_attentions()
        told = None
        try:
            told = await information(using, 6)
        except CheckConditionError as error:
            forgotten = error.sense.code, error.sense.qualifier
        found = b"".join([await using.read(at, 8 * MIB) for at in range(0, size, 8 * MIB)])
        if told is None:
            # A reset forgets what ended before it, and nothing else.
            assert (forgotten, found) == ((0x24, 0x00), b"r" * size)
            pytest.skip("a reset, made durable on both nodes, takes longer here than a copy of 64 MiB")
        assert told.status == TERMINATED
        written = told.blocks * BLOCK
        assert written < size
        assert found == b"r" * written + b"t" * (size - written)
        await write(using, token, [(0, IN_MIB)], 6)


async def test_what_is_no_token_of_these_nodes_is_refused(pair: Pair) -> None:
    async with log_in(pair, 0) as here, log_in(pair, 1) as there:
        await here.write(0, b"s" * MIB)
        token = await token_of(here, [(0, IN_MIB)])
        for at in (8, 20, 63, 200, 511):
            forged = bytearray(token)
            forged[at] ^= 1
            assert await refused(there, bytes(forged), [(64 * IN_MIB, 1)]) == UNKNOWN, at
        short = token[:6] + b"\x01\xf7" + token[8:]
        assert await refused(here, short, [(64 * IN_MIB, 1)]) == (0x05, 0x23, 0x0A)
        many = [(2 * index, 1) for index in range(65)]
        for block, parameters in (
            (populate_token(1, 16 + 65 * 16), populate_parameters(many)),
            (write_using_token(1, 536 + 65 * 16), write_parameters(token, many)),
        ):
            with pytest.raises(CheckConditionError) as error:
                await here.command(block, data_out=parameters)
            assert (error.value.sense.code, error.value.sense.qualifier) == (0x26, 0x08)
        brief = await token_of(there, [(0, IN_MIB)], timeout_s=1)
        await asyncio.sleep(1.1)
        assert await refused(here, brief, [(64 * IN_MIB, 1)]) == EXPIRED
        await write(here, token, [(64 * IN_MIB, IN_MIB)])


async def test_a_token_is_read_and_used_as_reservations_and_access_lists_say(pair: Pair, other: Pair) -> None:
    async with log_in(pair, 0) as here:
        await here.write(0, b"r" * MIB)
    ranges = populate_parameters([(0, IN_MIB)])
    holder, port = await Port.log_in(pair, pair.first, 1), await Port.log_in(pair, pair.second, 2)
    try:
        assert await holder.out(REGISTER, action_key=1) == GOOD
        assert await holder.out(RESERVE, WRITE_EXCLUSIVE, key=1) == GOOD
        made, _ = await port.run(populate_token(1, len(ranges)), data_out=ranges)
        assert made == GOOD, "others may read"
        token = (await information(port.session)).token
        assert token is not None
        uses = write_parameters(token, [(64 * IN_MIB, 1)])
        used, _ = await port.run(write_using_token(1, len(uses)), data_out=uses)
        assert used == CONFLICT
        await clear_all(holder)
        assert await holder.out(REGISTER, action_key=1) == GOOD
        assert await holder.out(RESERVE, EXCLUSIVE, key=1) == GOOD
        made, _ = await port.run(populate_token(1, len(ranges)), data_out=ranges)
        assert made == CONFLICT
        async with log_in(other, 1) as elsewhere:
            await write(elsewhere, token, [(0, IN_MIB)])
            assert await elsewhere.read(0, MIB) == b"r" * MIB, "who has a token may read"
    finally:
        await clear_all(holder)
        for one in (holder, port):
            await one.session.close()


@pytest.mark.promise("P1", "P3", "P4")
async def test_a_token_outlives_its_node_or_is_refused_and_is_gone_where_data_come_from_elsewhere(
    pair: Pair, other: Pair
) -> None:
    data = os.urandom(MIB)
    for victim in (0, 1):
        survivor = 1 - victim
        async with log_in(pair, victim) as making:
            await making.write(0, data)
            token = await token_of(making, [(0, IN_MIB)], timeout_s=900)
            kept = await token_of(making, [(0, IN_MIB // 2)], timeout_s=900)
            await pair.nodes[victim].kill()
        await pair.wait_alone(pair.nodes[survivor])
        await other.wait_alone(pair.nodes[survivor])
        async with log_in(pair, survivor) as left:
            await write(left, token, [(100 * IN_MIB, IN_MIB)])
            assert await left.read(100 * MIB, MIB) == data
            await left.write(MIB - BLOCK, b"n" * BLOCK)
            assert await refused(left, token, [(100 * IN_MIB, 1)]) == REVOKED
            await pair.nodes[victim].start()
            await pair.wait_enabled()
            await other.wait_enabled()
            await left.clear_unit_attentions()
            await write(left, kept, [(110 * IN_MIB, IN_MIB // 2)])
        async with log_in(pair, victim) as back:
            assert await back.read(110 * MIB, MIB // 2) == data[: MIB // 2]
            for old in (token, kept):
                assert await refused(back, old, [(100 * IN_MIB, 1)]) == UNKNOWN
    assert (await compare_when_idle(pair)).first_difference is None
    assert (await compare_when_idle(other)).first_difference is None
