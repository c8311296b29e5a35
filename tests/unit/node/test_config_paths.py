"""Further paths in ndrecv.conf: what is read, and every line that makes no sense."""

from pathlib import Path

import pytest

from twindisk.config import load
from twindisk.config_paths import MirrorPath
from twindisk.errors import ConfigError, ConfigProblem
from twindisk.sentences import tell

RECV = "10.0.13.150"
PEER = "10.0.13.151"


def write(etc: Path, *lines: str, recv: str = RECV) -> Path:
    (etc / "ndrecv.conf").write_text("\n".join((f"RecvAddr={recv}", *lines)) + "\n")
    return etc


def test_a_node_has_one_path_and_one_connection_unless_it_is_told_more(tmp_path: Path) -> None:
    config = load(write(tmp_path))
    assert (config.paths, config.mirror_connections, config.further_addresses) == ((), 1, ())
    assert config.paths_to(PEER) == ()


def test_paths_may_be_repeated_and_listed(tmp_path: Path) -> None:
    config = load(
        write(
            tmp_path,
            f"MirrorPath={PEER} 10.0.14.150 10.0.14.151,  {PEER}\t10.0.15.150 10.0.15.151",
            f"mirrorpath = {PEER} FD00:0::150 fd00::151  # the third cable",
            "MirrorPath=10.0.13.152 10.0.14.150 10.0.14.152",
            "MirrorConnections=4",
        )
    )
    assert config.paths == (
        MirrorPath(PEER, "10.0.14.150", "10.0.14.151"),
        MirrorPath(PEER, "10.0.15.150", "10.0.15.151"),
        MirrorPath(PEER, "fd00::150", "fd00::151"),
        MirrorPath("10.0.13.152", "10.0.14.150", "10.0.14.152"),
    )
    assert config.mirror_connections == 4
    assert config.further_addresses == ("10.0.14.150", "10.0.15.150", "fd00::150")
    assert config.paths_to("10.0.13.152") == (("10.0.14.150", "10.0.14.152"),)
    assert config.warnings == ()


def test_both_ends_may_have_other_addresses_of_their_own(tmp_path: Path) -> None:
    config = load(write(tmp_path, f"MirrorPath={PEER} 10.0.14.150 10.0.14.151, {PEER} 10.0.15.150 10.0.14.151"))
    assert config.paths_to(PEER) == (("10.0.14.150", "10.0.14.151"), ("10.0.15.150", "10.0.14.151"))


GOOD = f"{PEER} 10.0.14.150 10.0.14.151"


@pytest.mark.promise("P9")
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.0.14.150 10.0.14.151", ConfigProblem.BAD_PATH),
        (f"{GOOD} 10.0.14.152", ConfigProblem.BAD_PATH),
        (f"{PEER} 10.0.14.150 vm11", ConfigProblem.BAD_PATH),
        (f"{PEER} 10.0.14.150 10.0.14.151:9955", ConfigProblem.BAD_PATH),
        (f"{PEER} 10.0.14.0/24 10.0.14.151", ConfigProblem.BAD_PATH),
        (f"{PEER} 10.0.14.150 fd00::151", ConfigProblem.PATH_FAMILIES),
        (f"{PEER} 0.0.0.0 10.0.14.151", ConfigProblem.PATH_ADDRESS),
        (f"{PEER} :: fd00::151", ConfigProblem.PATH_ADDRESS),
        (f"{PEER} 10.0.14.150 224.0.0.1", ConfigProblem.PATH_ADDRESS),
        (f"{PEER} fd00::150 ff02::1", ConfigProblem.PATH_ADDRESS),
        ("0.0.0.0 10.0.14.150 10.0.14.151", ConfigProblem.PATH_ADDRESS),
        (f"{PEER} fe80::1 fe80::2", ConfigProblem.PATH_ADDRESS),
        (f"{PEER} fe80::1%eth1 fe80::2%eth1", ConfigProblem.PATH_ADDRESS),
        (f"{PEER} ::ffff:10.0.14.150 ::ffff:10.0.14.151", ConfigProblem.PATH_ADDRESS),
        (f"{PEER} {RECV} 10.0.14.151", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{PEER} 10.0.14.150 10.0.14.150", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{PEER} 10.0.14.150 {PEER}", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{PEER} 10.0.14.150 {RECV}", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{PEER} {PEER} 10.0.14.151", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{RECV} 10.0.14.150 10.0.14.151", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{GOOD}, 10.0.13.152 10.0.15.150 10.0.14.151", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{GOOD}, 10.0.13.152 10.0.14.151 10.0.15.152", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{GOOD}, 10.0.13.152 10.0.15.150 10.0.14.150", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{GOOD}, 10.0.14.151 10.0.15.150 10.0.15.151", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{GOOD}, 10.0.13.152 10.0.15.150 {PEER}", ConfigProblem.PATH_ADDRESS_TWICE),
        (f"{GOOD}, {GOOD}", ConfigProblem.PATH_TWICE),
        (", ".join(f"{PEER} 10.0.{cable}.150 10.0.{cable}.151" for cable in range(14, 18)), ConfigProblem.TOO_MANY_PATHS),
    ],
)  # fmt: skip
def test_a_path_that_makes_no_sense_stops_the_node_and_says_why(
    tmp_path: Path, value: str, problem: ConfigProblem
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, f"MirrorPath={value}"))
    assert raised.value.problem is problem
    told = tell(raised.value).detail
    assert f"{tmp_path / 'ndrecv.conf'} line 2: MirrorPath=" in told
    assert str(raised.value.fields["value"]) in told
    assert "?" not in told
    assert "{" not in told


def test_the_line_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, f"MirrorPath={GOOD}", f"MirrorPath={PEER} 10.0.15.150 10.0.14.150"))
    assert (raised.value.fields["line"], raised.value.fields["address"]) == (3, "10.0.14.150")


def test_three_further_paths_to_each_peer_are_no_more_than_allowed(tmp_path: Path) -> None:
    lines = [
        f"MirrorPath=10.0.13.{peer} 10.0.{cable}.150 10.0.{cable}.{peer}"
        for peer in (151, 152)
        for cable in (14, 15, 16)
    ]
    assert len(load(write(tmp_path, *lines)).paths) == 6


@pytest.mark.parametrize("value", ["0", "9", "-1", "two", ""])
def test_a_number_of_connections_out_of_its_range_stops_the_node(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, f"MirrorConnections={value}"))
    assert raised.value.problem is ConfigProblem.BAD_NUMBER
