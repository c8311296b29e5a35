"""Who is let in, at both nodes alike: lists of names, CHAP, mutual CHAP, discovery; with libiscsi's tools and by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.initiator_tools import run_tool
from integration.raw_login import (
    INITIATOR,
    OPERATIONAL_TO_FULL,
    STAY,
    TO_OPERATIONAL,
    RawLogin,
    response,
)
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import Session, SessionOptions, discover

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P9")]

ALICE, ALICES_SECRET = "alice", "alicessecret1"
VAULT, VAULTS_SECRET = "vault", "vaultssecret1"
REFUSED, FORBIDDEN = 0x0201, 0x0202
OTHER = "iqn.1994-05.com.redhat:vm13"


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """Files with secrets, by user."""
    files = {}
    for name, secret in ((ALICE, ALICES_SECRET), (VAULT, VAULTS_SECRET), ("short", "elevenbytes")):
        path = tmp_path / name
        path.write_text(secret + "\n")
        files[name] = str(path)
    return files


@pytest_asyncio.fixture(loop_scope="module")
async def guarded(pair: Pair, secrets: dict[str, str]) -> AsyncIterator[Pair]:
    """The pair with CHAP, also mutual, for M1; told to the second node, the Slave."""
    await pair.second.run("twindisk", "chap", "set", ALICE, "--vdisk", pair.vdisk, "--secret-file", secrets[ALICE])
    await pair.first.run(
        "twindisk", "chap", "set-target", VAULT, "--vdisk", pair.vdisk, "--secret-file", secrets[VAULT]
    )
    yield pair
    await pair.first.run("twindisk", "chap", "remove", ALICE, "--vdisk", pair.vdisk, "--everyone")


def url(node: Node, user: str = "", extra: str = "") -> str:
    return f"iscsi://{user}{node.place.portal}/{iqn('M1')}/0{extra}"


async def refused_status(node: Node, name: str) -> int:
    login = await RawLogin.connect(node.place.portal)
    answer = await login.send(OPERATIONAL_TO_FULL, InitiatorName=name, TargetName=iqn("M1"))
    login.close()
    return answer.status


async def test_a_list_lets_in_who_is_on_it_at_both_nodes(pair: Pair) -> None:
    options = SessionOptions(initiator=OTHER)
    async with await Session.connect(pair.second.place.portal, iqn(pair.vdisk), options) as unlisted:
        await unlisted.clear_unit_attentions()
        told = await pair.first.run("twindisk", "initiator", "allow", pair.vdisk, INITIATOR)
        assert INITIATOR in told
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_until_ended(unlisted), 10)
    try:
        for node in pair.nodes:
            assert await node.run("twindisk", "initiator", "list", pair.vdisk) == f"{INITIATOR}\n"
            assert await refused_status(node, INITIATOR) == 0
            assert await refused_status(node, INITIATOR.upper()) == 0
            for name in (OTHER, INITIATOR + "3", INITIATOR[:-1], "iqn.1994-05.com.redhat:*"):
                assert await refused_status(node, name) == FORBIDDEN
            assert await discover(node.place.portal, SessionOptions(initiator=OTHER)) == []
            assert [
                target.iqn for target in await discover(node.place.portal, SessionOptions(initiator=INITIATOR))
            ] == [iqn(pair.vdisk)]
            assert "login refused" in node.log_tail()
        kept = await pair.second.run("twindisk", "initiator", "deny", pair.vdisk, INITIATOR, status=1)
        assert "--everyone" in kept
        assert await refused_status(pair.second, OTHER) == FORBIDDEN
    finally:
        await pair.second.run("twindisk", "initiator", "deny", pair.vdisk, INITIATOR, "--everyone")
    for node in pair.nodes:
        assert await refused_status(node, OTHER) == 0


async def _until_ended(session: Session) -> None:
    while True:
        try:
            await session.test_unit_ready()
        except Exception as error:
            raise ConnectionError from error
        await asyncio.sleep(0.05)


async def test_libiscsis_tools_come_in_with_chap_and_not_without(guarded: Pair) -> None:
    for node in guarded.nodes:
        credentials = f"{ALICE}%{ALICES_SECRET}@"
        assert "VDISK" in await run_tool("iscsi-inq", url(node, credentials))
        mutual = f"?target_user={VAULT}&target_password={VAULTS_SECRET}"
        assert "VDISK" in await run_tool("iscsi-inq", url(node, credentials, mutual))
        for wrong in (
            url(node),
            url(node, f"{ALICE}%alicessecret2@"),
            url(node, f"bob%{ALICES_SECRET}@"),
            url(node, credentials, f"?target_user={VAULT}&target_password=another-secret"),
        ):
            with pytest.raises(AssertionError, match="exit status"):
                await run_tool("iscsi-inq", wrong, limit_s=20)


@pytest.mark.parametrize(("offered", "used"), [("5", "5"), ("6,5", "6"), ("5,7", "7"), ("8,7,6,5", "8"), ("5,8", "8")])
async def test_every_algorithm_at_both_nodes(guarded: Pair, offered: str, used: str) -> None:
    for node in guarded.nodes:
        login = await RawLogin.connect(node.place.portal)
        challenge = await login.challenged(iqn("M1"), offered)
        assert challenge.text["CHAP_A"] == used
        proof = response(challenge, ALICES_SECRET)
        answer = await login.send(TO_OPERATIONAL, CHAP_N=ALICE, CHAP_R=proof)
        assert (answer.status, answer.flags) == (0, TO_OPERATIONAL)
        # open-iscsi's operational keys.
        answer = await login.send(
            OPERATIONAL_TO_FULL,
            HeaderDigest="None",
            DataDigest="None",
            DefaultTime2Wait="2",
            DefaultTime2Retain="0",
            IFMarker="No",
            OFMarker="No",
            ErrorRecoveryLevel="0",
            InitialR2T="No",
            ImmediateData="Yes",
            MaxBurstLength="16776192",
            FirstBurstLength="262144",
            MaxOutstandingR2T="1",
            MaxConnections="1",
            DataPDUInOrder="Yes",
            DataSequenceInOrder="Yes",
            MaxRecvDataSegmentLength="262144",
        )
        assert (answer.status, answer.flags) == (0, OPERATIONAL_TO_FULL)
        login.close()


async def test_whoever_does_not_prove_himself_is_refused_at_both_nodes(guarded: Pair) -> None:
    for node in guarded.nodes:
        assert await refused_status(node, INITIATOR) == REFUSED
        login = await RawLogin.connect(node.place.portal)
        answer = await login.send(
            TO_OPERATIONAL, InitiatorName=INITIATOR, TargetName=iqn("M1"), SessionType="Normal", AuthMethod="None"
        )
        assert answer.status == REFUSED
        assert await login.closed()
        for user, secret, reflect in (
            (ALICE, "alicessecret2", False),
            ("bob", ALICES_SECRET, False),
            (VAULT, VAULTS_SECRET, False),
            (ALICE, ALICES_SECRET, True),
        ):
            login = await RawLogin.connect(node.place.portal)
            challenge = await login.challenged(iqn("M1"), "7,5")
            keys = {"CHAP_N": user, "CHAP_R": response(challenge, secret)}
            if reflect:
                keys |= {"CHAP_I": challenge.text["CHAP_I"], "CHAP_C": challenge.text["CHAP_C"]}
            answer = await login.send(TO_OPERATIONAL, **keys)
            assert (answer.status, answer.text) == (REFUSED, {}), (user, reflect)
            assert await login.closed()


async def test_challenges_never_come_twice(guarded: Pair) -> None:
    seen = set()
    for _ in range(20):
        login = await RawLogin.connect(guarded.first.place.portal)
        seen.add((await login.challenged(iqn("M1"), "5")).text["CHAP_C"])
        login.close()
    assert len(seen) == 20


async def test_secrets_are_nowhere_to_be_seen(guarded: Pair, secrets: dict[str, str]) -> None:
    for node in guarded.nodes:
        told = await node.run("twindisk", "--json", "vdisk", "show", guarded.vdisk)
        told += await node.run("twindisk", "chap", "list", "--vdisk", guarded.vdisk)
        told += await node.run("twindisk", "--json", "status")
        told += node.place.output.read_text() + (node.place.state_dir / "twindiskd.log").read_text()
        assert ALICE in told
        assert VAULT in told
        assert ALICES_SECRET not in told
        assert VAULTS_SECRET not in told
        for file in node.place.state_dir.glob("state.db*"):
            assert file.stat().st_mode & 0o077 == 0, file
    arguments = ("twindisk", "chap", "set", "carol", "--vdisk", guarded.vdisk, "--secret-file", secrets["short"])
    short = await guarded.first.run(*arguments, status=1)
    assert "12 to 255 bytes" in short
    assert "elevenbytes" not in short


async def test_a_user_elsewhere_may_not_have_the_targets_secret(guarded: Pair, secrets: dict[str, str]) -> None:
    arguments = ("twindisk", "chap", "set", "eve", "--discovery", "--secret-file", secrets[VAULT])
    assert "must not have the secret of a user" in await guarded.first.run(*arguments, status=1)
    assert "eve" not in await guarded.first.run("twindisk", "chap", "list", "--discovery")


async def test_the_rules_outlive_a_restart_and_a_node_alone_changes_them_for_both(guarded: Pair) -> None:
    await guarded.first.kill()
    await guarded.wait_alone(guarded.second)
    await guarded.second.run("twindisk", "initiator", "allow", guarded.vdisk, INITIATOR)
    await guarded.first.start()
    await guarded.wait_enabled()
    end = asyncio.get_running_loop().time() + 10
    while await refused_status(guarded.first, OTHER) != FORBIDDEN:
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.1)
    assert await refused_status(guarded.first, INITIATOR) == REFUSED
    await guarded.first.run("twindisk", "initiator", "deny", guarded.vdisk, INITIATOR, "--everyone")
    for node in guarded.nodes:
        assert "VDISK" in await run_tool("iscsi-inq", url(node, f"{ALICE}%{ALICES_SECRET}@"))


async def test_discovery_has_users_of_its_own(pair: Pair, secrets: dict[str, str]) -> None:
    node = pair.first
    await node.run("twindisk", "chap", "set", VAULT, "--discovery", "--secret-file", secrets[VAULT])
    try:
        portal = f"iscsi://{node.place.portal}"
        with pytest.raises(AssertionError, match="exit status"):
            await run_tool("iscsi-ls", portal, limit_s=20)
        listed = await run_tool("iscsi-ls", f"iscsi://{VAULT}%{VAULTS_SECRET}@{node.place.portal}")
        assert iqn("M1") in listed
        assert "VDISK" in await run_tool("iscsi-inq", url(node)), "the VDisk itself asks for nothing"
        login = await RawLogin.connect(node.place.portal)
        answer = await login.send(STAY, InitiatorName=INITIATOR, SessionType="Discovery", AuthMethod="None")
        assert answer.status == REFUSED
        assert await login.closed()
    finally:
        await node.run("twindisk", "chap", "remove", VAULT, "--discovery", "--everyone")
    assert iqn("M1") in await run_tool("iscsi-ls", f"iscsi://{node.place.portal}")


async def test_half_open_logins_push_out_none_that_come_from_elsewhere(pair: Pair) -> None:
    names = {"InitiatorName": INITIATOR, "TargetName": iqn("M1")}
    async with contextlib.AsyncExitStack() as idle:

        async def begin(source: str, isid: int) -> RawLogin:
            login = await RawLogin.connect(pair.first.place.portal, isid=isid, source=source)
            idle.callback(login.close)
            return login

        honest = [await begin(f"127.0.0.{host}", host) for host in (20, 21)]
        for login in honest:
            assert (await login.send(STAY, **names)).status == 0
        flood = [await begin("127.0.0.30", number) for number in range(300)]
        # Even from many addresses: it is they that have most.
        for host in range(31, 39):
            flood += [await begin(f"127.0.0.{host}", number) for number in range(60)]
        assert await flood[0].closed()
        for login in honest:
            answer = await login.send(0x83)
            assert answer.status == 0, "its login is where it was"


async def test_a_thousand_half_open_logins_keep_nobody_out(pair: Pair) -> None:
    async with contextlib.AsyncExitStack() as idle:
        begun = []
        for number in range(1000):
            login = await RawLogin.connect(pair.first.place.portal, isid=number)
            idle.callback(login.close)
            begun.append(login)
            if number % 2:
                answer = await login.send(STAY, InitiatorName=INITIATOR, TargetName=iqn("M1"))
                assert answer.status == 0
        async with await Session.connect(pair.first.place.portal, iqn(pair.vdisk)) as session:
            await session.clear_unit_attentions()
            await session.write(0, bytes(4096))
        assert await begun[0].closed(), "the oldest gave way"
