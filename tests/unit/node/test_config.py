from pathlib import Path

import pytest

from twindisk.config import FenceTimes, LinkTimes, Portal, Redirect, control_socket, load, read_secret
from twindisk.errors import ConfigError, ConfigProblem
from twindisk.snmp.settings import Destination


def etc(root: Path, ndrecv: str = "", quadstor: str = "") -> Path:
    (root / "etc").mkdir()
    (root / "etc" / "ndrecv.conf").write_text(ndrecv)
    (root / "etc" / "quadstor.conf").write_text(quadstor)
    return root / "etc"


def test_missing_files_mean_a_node_that_does_not_mirror(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.recv_address, config.secret) == (None, None)
    assert config.portals == (Portal("0.0.0.0", 3260),)  # noqa: S104
    assert (config.control_port, config.data_port) == (9953, 9955)
    assert config.link == LinkTimes(heartbeat_ms=200, silence_ms=2000, lease_ms=2000)
    assert config.warnings == ()


def test_times_of_fencing(tmp_path: Path) -> None:
    assert load(tmp_path).fence == FenceTimes(limit_ms=30_000, head_start_ms=500, witness_limit_ms=2_000)
    config = load(etc(tmp_path, "FenceLimitMs=1500\nHeadStartMs=0\n"))
    assert config.fence == FenceTimes(limit_ms=1500, head_start_ms=0)
    assert config.warnings == ()


def test_a_portal_redirects_to_another_one_of_the_node_that_does_not(tmp_path: Path) -> None:
    portals = "Portal=10.0.1.1, 10.0.2.1, 10.0.3.1:3261, 0.0.0.0:3262\n"
    where = etc(tmp_path, "", f"{portals}Redirect=10.0.1.1 10.0.2.1, 10.0.3.1:3261 10.0.2.1:3260 permanently\n")
    config = load(where)
    first, second, third, _ = config.portals
    assert config.redirects == (Redirect(first, second, permanent=False), Redirect(third, second, permanent=True))
    for wrong in (
        "10.0.1.1",
        "10.0.1.1 10.0.1.1",
        "10.0.1.1 10.0.9.1",
        "10.0.9.1 10.0.1.1",
        "10.0.1.1 0.0.0.0:3262",
        "10.0.1.1 10.0.2.1 perhaps",
        "10.0.1.1 10.0.2.1, 10.0.2.1 10.0.1.1",
        "10.0.1.1 10.0.2.1, 10.0.1.1 10.0.3.1:3261",
    ):
        (where / "quadstor.conf").write_text(f"{portals}Redirect={wrong}\n")
        with pytest.raises(ConfigError) as raised:
            load(where)
        assert raised.value.problem is ConfigProblem.BAD_REDIRECT


def test_the_memory_for_initiators(tmp_path: Path) -> None:
    assert load(tmp_path).memory_limit_mib == 1024
    (tmp_path / "quadstor.conf").write_text("MemoryLimitMiB=300\n")
    assert load(tmp_path).memory_limit_mib == 300
    (tmp_path / "quadstor.conf").write_text("MemoryLimitMiB=255\n")
    with pytest.raises(ConfigError):
        load(tmp_path)


def test_a_mistyped_directory_is_no_empty_one(tmp_path: Path) -> None:
    for read in (load, control_socket):
        with pytest.raises(ConfigError) as raised:
            read(tmp_path / "typo")
        assert raised.value.problem is ConfigProblem.NO_DIRECTORY


def test_keys_have_no_case_and_comments_do_not_count(tmp_path: Path) -> None:
    config = load(
        etc(tmp_path, "# the mirror\nrecvADDR = 10.0.13.150 # eth1\n\n", "trapaddr=10.0.13.33\nDEFAULTPOOL=HA")
    )
    assert config.recv_address == "10.0.13.150"
    assert (config.traps.destinations, config.default_pool) == ((Destination("10.0.13.33", 162),), "HA")


def test_portals_may_be_repeated_and_listed(tmp_path: Path) -> None:
    config = load(etc(tmp_path, quadstor="Portal=10.0.0.1, 10.0.0.2:3261\nPortal=[fd00::1]:3262\nPortal=fd00::2\n"))
    assert [(portal.host, portal.port) for portal in config.portals] == [
        ("10.0.0.1", 3260),
        ("10.0.0.2", 3261),
        ("fd00::1", 3262),
        ("fd00::2", 3260),
    ]


def test_a_time_out_of_range_is_a_warning_and_the_nearest_in_range_counts(tmp_path: Path) -> None:
    config = load(etc(tmp_path, "MirrorConnectTimeout=500\nMirrorRecvTimeout=20\nMirrorSyncTimeout=30\n"))
    assert (config.peer.connect_s, config.peer.receive_s, config.peer.send_s) == (70, 20, 30)
    assert [(warning.key, warning.reason) for warning in config.warnings] == [
        ("MirrorConnectTimeout", "out-of-range"),
        ("MirrorSyncTimeout", "superseded"),
    ]


def test_an_unknown_key_is_a_warning(tmp_path: Path) -> None:
    warning = load(etc(tmp_path, "RecvAddr=10.0.0.1\nFavouriteColour=blue\n")).warnings[0]
    assert (warning.key, warning.line, warning.reason) == ("favouritecolour", 2, "unknown-key")


@pytest.mark.parametrize(
    ("ndrecv", "quadstor", "problem"),
    [
        ("RecvAddr=nowhere", "", ConfigProblem.BAD_ADDRESS),
        ("just words", "", ConfigProblem.NOT_KEY_VALUE),
        ("=value", "", ConfigProblem.NOT_KEY_VALUE),
        ("ControlPort=99999", "", ConfigProblem.BAD_NUMBER),
        ("ControlPort=-1", "", ConfigProblem.BAD_NUMBER),
        ("MirrorRecvTimeout=soon", "", ConfigProblem.BAD_NUMBER),
        ("", "Portal=somewhere", ConfigProblem.BAD_ADDRESS),
        ("", "Portal=10.0.0.1:port", ConfigProblem.BAD_NUMBER),
    ],
)
def test_a_value_that_makes_no_sense_stops_the_node(
    tmp_path: Path, ndrecv: str, quadstor: str, problem: ConfigProblem
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(etc(tmp_path, ndrecv, quadstor))
    assert raised.value.problem is problem


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    directory = etc(tmp_path)
    (directory / "ndrecv.conf").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as raised:
        load(directory)
    assert raised.value.problem is ConfigProblem.UNREADABLE


@pytest.mark.promise("P9")
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError) as raised:
        read_secret(path)
    assert raised.value.problem is ConfigProblem.SECRET_EXPOSED
    path.chmod(0o600)
    assert read_secret(path) == b"s3cret"


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    with pytest.raises(ConfigError) as raised:
        read_secret(tmp_path / "secret")
    assert raised.value.problem is ConfigProblem.NO_SECRET


@pytest.mark.promise("P9")
def test_the_secret_shows_in_no_text_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text("s3cret")
    assert "s3cret" not in repr(load(tmp_path))


def test_state_lies_beside_a_configuration_directory_of_ones_own(tmp_path: Path) -> None:
    directory = etc(tmp_path)
    assert load(directory).state_dir == tmp_path / "var"
    assert control_socket(directory) == tmp_path / "var" / "control.sock"
    (directory / "quadstor.conf").write_text("StateDir=../elsewhere\n")
    assert control_socket(directory) == load(directory).socket_path == tmp_path / "elsewhere" / "control.sock"
