"""Who is let in: the rules themselves, on two whole nodes, and on their way between them."""

import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.api.peer_schemas import AccessChange
from twindisk.brain.phases import Phase
from twindisk.errors import (
    InvalidError,
    InvalidProblem,
    NotFoundError,
    PeerError,
    PeerProblem,
    RefusedError,
    RefusedProblem,
)
from twindisk.node import access, admission, checks, discovery, disks, mirror_accept, mirrors, pools, vdisks
from twindisk.node.context import Node
from twindisk.node.mirrors import NewMirror
from twindisk.node.records import Admission, CheckKind, Credential
from twindisk.node.schema import MIGRATIONS, migrate
from twindisk.node.state import State
from twindisk.node.vdisks import NewVDisk
from twindisk.sealing import SealError, seal, unseal

pytestmark = pytest.mark.promise("P9")

VM12, VM13 = "iqn.1994-05.com.redhat:vm12", "iqn.1994-05.com.redhat:vm13"
SECRET, OTHER_SECRET = "twelve bytes", "another twelve"
VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]
RULES = Admission((VM12,), (Credential("alice", SECRET),), Credential("vault", OTHER_SECRET))


def test_a_list_has_each_name_once_in_lower_case() -> None:
    rules = admission.change_initiators(Admission(), allow=[VM13.upper(), VM12, VM12])
    assert rules.initiators == (VM12, VM13)
    assert admission.change_initiators(rules, deny=[VM12.upper()]).initiators == (VM13,)
    assert admission.change_initiators(rules, allow=["eui.02004567a425678d"], deny=[VM12, VM13]).initiators == (
        "eui.02004567a425678d",
    )


@pytest.mark.parametrize(
    "name", ["", "vm12", "iqn.1994-13.com:x", "iqn.1994-05.a b", "eui.12", "iqn.1994-05." + "a" * 220]
)
def test_what_is_no_initiators_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError) as raised:
        admission.change_initiators(Admission(), allow=[name])
    assert raised.value.problem is InvalidProblem.INITIATOR


def test_the_last_one_goes_only_on_purpose() -> None:
    rules = admission.with_user(admission.change_initiators(Admission(), allow=[VM12]), "alice", SECRET)
    rules = admission.with_own(rules, "vault", OTHER_SECRET)
    with pytest.raises(RefusedError) as raised:
        admission.change_initiators(rules, deny=[VM12])
    assert raised.value.problem is RefusedProblem.LAST_INITIATOR
    with pytest.raises(RefusedError) as raised:
        admission.without_user(rules, "alice", everyone=False)
    assert raised.value.problem is RefusedProblem.LAST_USER
    emptied = admission.change_initiators(rules, deny=[VM12], everyone=True)
    assert admission.without_user(emptied, "alice", everyone=True) == Admission()


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(NotFoundError):
        admission.change_initiators(Admission(), deny=[VM12])
    with pytest.raises(NotFoundError):
        admission.without_user(Admission(), "alice", everyone=True)
    with pytest.raises(NotFoundError):
        admission.without_own(Admission())


@pytest.mark.parametrize("secret", ["", "eleven byte", "x" * 256, "twelve\tbytes", "twelve bytes\n"])
def test_a_secret_out_of_bounds_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidError) as raised:
        admission.with_user(Admission(), "alice", secret)
    assert raised.value.problem is InvalidProblem.CHAP_SECRET
    assert not secret or secret not in str(raised.value)


def test_the_target_proves_itself_by_no_users_secret_and_only_to_users() -> None:
    with pytest.raises(RefusedError):
        admission.with_own(Admission(), "vault", SECRET)
    rules = admission.with_user(Admission(), "alice", SECRET)
    with pytest.raises(InvalidError) as raised:
        admission.with_own(rules, "vault", SECRET)
    assert raised.value.problem is InvalidProblem.CHAP_SHARED
    rules = admission.with_own(rules, "vault", OTHER_SECRET)
    with pytest.raises(InvalidError):
        admission.with_user(rules, "bob", OTHER_SECRET)
    assert admission.without_own(rules).own is None


def test_a_target_and_a_user_elsewhere_have_different_secrets() -> None:
    alone = admission.with_user(Admission(), "alice", SECRET)
    mutual = admission.with_own(admission.with_user(Admission(), "bob", "bob's own secret"), "vault", OTHER_SECRET)
    shared = admission.with_user(Admission(), "carol", OTHER_SECRET)
    admission.check_apart(Admission(), mutual, [alone, Admission()])
    admission.check_apart(Admission(), shared, [admission.with_user(Admission(), "dave", OTHER_SECRET)])
    for changed, other in ((mutual, shared), (shared, mutual)):
        with pytest.raises(InvalidError) as raised:
            admission.check_apart(Admission(), changed, [alone, other])
        assert raised.value.problem is InvalidProblem.CHAP_REUSED
        assert OTHER_SECRET not in str(raised.value)
        admission.check_apart(changed, admission.change_initiators(changed, allow=[VM12]), [other])


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "é", "x" * 256])
def test_a_chap_name_has_no_spaces_nor_slashes(name: str) -> None:
    with pytest.raises(InvalidError) as raised:
        admission.with_user(Admission(), name, SECRET)
    assert raised.value.problem is InvalidProblem.CHAP_NAME


def test_a_secret_is_not_shown_and_survives_json() -> None:
    assert SECRET not in repr(RULES)
    assert Admission.from_json(RULES.to_json()) == RULES
    assert admission.check(RULES) == RULES
    assert RULES.for_engine() == {
        "initiators": [VM12],
        "users": [("alice", SECRET)],
        "own": ("vault", OTHER_SECRET),
    }


def test_a_seal_opens_with_the_same_secret_about_the_same_thing_only() -> None:
    sealed = seal(b"one for both", "6e01", "text")
    assert unseal(b"one for both", "6e01", sealed) == "text"
    assert seal(b"one for both", "6e01", "text") != sealed
    changed = ("B" if sealed[20] == "A" else "A").join((sealed[:20], sealed[21:]))
    for secret, about, text in (
        (b"another", "6e01", sealed),
        (b"one for both", "6e02", sealed),
        (b"one for both", "6e01", changed),
        (b"one for both", "6e01", ""),
        (b"one for both", "6e01", "no base64"),
    ):
        with pytest.raises(SealError):
            unseal(secret, about, text)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two nodes; M1 of vm10 is mirrored with vm11."""
    async with cluster(tmp_path) as made:
        for name, peer in (("vm10", VM11), ("vm11", VM10)):
            node = await made.start(name)
            pools.add(node, "HA")
            await disks.add(node, tmp_path / name / "disk", "HA")
            await checks.add(node, peer, CheckKind.FENCE, "/bin/true")
        first = made.nodes["vm10"].node
        await vdisks.create(first, NewVDisk("M1", 4 << 20, pool="HA"))
        await access.change_admission(first, "M1", lambda _: RULES)
        await mirrors.add(first, NewMirror("M1", VM11, "M1"))
        await until(lambda: all(phase(running.node, "M1") is Phase.IN_SYNC for running in made.nodes.values()))
        await until(lambda: not made.nodes["vm11"].node._background)
        yield made


def rules_of(nodes: Cluster) -> list[Admission | None]:
    """What the databases of both nodes have; None where the engine has something else."""
    kept = {name: vdisks.find(running.node, "M1").admission for name, running in nodes.nodes.items()}
    return [
        rules if nodes.engines[name].vdisks["M1"].admission == rules.for_engine() else None
        for name, rules in kept.items()
    ]


async def test_a_new_mirror_brings_its_rules_along_and_a_restart_keeps_them(nodes: Cluster) -> None:
    assert rules_of(nodes) == [RULES, RULES]
    await nodes.stop("vm11")
    await nodes.start("vm11")
    assert rules_of(nodes) == [RULES, RULES]


@pytest.mark.parametrize("asked", ["vm10", "vm11"])
async def test_either_node_changes_both(nodes: Cluster, asked: str) -> None:
    node = nodes.nodes[asked].node
    await access.change_admission(node, "M1", lambda rules: admission.change_initiators(rules, allow=[VM13]))
    assert rules_of(nodes) == [replace(RULES, initiators=(VM12, VM13))] * 2


async def test_nothing_changes_without_the_peers_part(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no(peer: str, _remote: str, _change: AccessChange) -> None:
        raise PeerError(PeerProblem.UNREACHABLE, peer=peer, detail="no")

    node = nodes.nodes["vm10"].node
    monkeypatch.setattr(node.peer, "change_access", no)
    with pytest.raises(PeerError):
        await access.change_admission(node, "M1", lambda _: Admission())
    assert rules_of(nodes) == [RULES, RULES]


async def test_a_node_alone_changes_its_own_and_the_peer_takes_it_over(nodes: Cluster) -> None:
    second = nodes.nodes["vm11"].node
    await nodes.kill("vm10")
    await until(lambda: phase(second, "M1") is Phase.ALONE)
    await access.change_admission(second, "M1", lambda _: Admission((VM13,)))
    await nodes.start("vm10")
    await until(lambda: rules_of(nodes) == [Admission((VM13,))] * 2)


async def test_what_travels_is_sealed_and_what_is_not_is_refused(nodes: Cluster) -> None:
    first, second = (nodes.nodes[name].node for name in ("vm10", "vm11"))
    vdisk = vdisks.find(first, "M1")
    told = mirror_accept.stands(second, VM10, "M1").model_dump_json()
    assert SECRET not in told
    assert "alice" not in told
    assert access.unsealed(first, vdisk.serial, access.sealed(second, vdisk)) == RULES
    short = json.dumps({"initiators": [], "users": [{"name": "a", "secret": "short"}], "own": None})
    secret = first.config.secret or b""
    for text in (RULES.to_json(), "", seal(secret, vdisk.serial, "{}"), seal(secret, vdisk.serial, short)):
        change = AccessChange(access=vdisk.access, admission=text)
        with pytest.raises(InvalidError):
            await mirror_accept.take_access(second, VM10, "M1", change)
    assert rules_of(nodes) == [RULES, RULES]


async def test_discovery_is_the_nodes_own_and_is_known_before_a_portal_opens(nodes: Cluster) -> None:
    node: Node = nodes.nodes["vm10"].node
    await discovery.change(node, lambda rules: admission.with_user(rules, "scout", SECRET))
    await nodes.stop("vm10")
    await nodes.start("vm10")
    engine = nodes.engines["vm10"]
    assert engine.discovery == Admission(users=(Credential("scout", SECRET),)).for_engine()
    calls = [call for call, _ in engine.calls]
    assert calls.index("set_discovery") < calls.index("open_portal")
    assert nodes.engines["vm11"].discovery == Admission().for_engine()


def test_vdisks_of_an_older_database_let_everyone_in(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    migrate(connection, str(tmp_path), MIGRATIONS[:2])
    connection.execute("INSERT INTO pools VALUES ('HA', 1)")
    connection.execute("INSERT INTO disks VALUES ('d', 'HA', '/d', NULL, 1)")
    connection.execute("INSERT INTO vdisks VALUES ('M1', 'd', '6e', 'iqn.x', 512, 2, 0, 1, 'active-active')")
    connection.close()
    state = State.open(tmp_path)
    old = state.vdisk("M1")
    assert old is not None
    assert old.admission == Admission()
    state.change_vdisk(replace(old, admission=RULES))
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.glob("state.db*"))
    state.close()
    again = State.open(tmp_path)
    assert again.vdisk("M1") == replace(old, admission=RULES)
    again.close()
