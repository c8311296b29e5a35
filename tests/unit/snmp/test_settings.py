from pathlib import Path

import pytest

from twindisk.config import load
from twindisk.errors import ConfigError, ConfigProblem
from twindisk.sentences import tell
from twindisk.snmp.settings import Destination, TrapSettings, User, Version
from twindisk.snmp.usm import Auth, Priv

V3 = "TrapVersion=3\nTrapUser=ops\n"
SIGNED = V3 + "TrapAuth=SHA-256\n"


def etc(root: Path, quadstor: str, *, mode: int = 0o600, **files: str) -> Path:
    (root / "quadstor.conf").write_text(quadstor)
    for name, text in files.items():
        path = root / name.replace("_", "-")
        path.touch(mode=mode)
        path.write_text(text)
    return root


def test_without_trap_addr_nothing_is_sent(tmp_path: Path) -> None:
    assert load(tmp_path).traps == TrapSettings()
    assert (load(tmp_path).traps.version, load(tmp_path).pool_threshold_percent) == (Version.V2C, 10)


def test_destinations_may_be_repeated_and_listed_and_count_once(tmp_path: Path) -> None:
    config = load(
        etc(
            tmp_path, "TrapAddr=10.0.13.33\nTrapAddr=nms.example:1162, [fd00::1]:163,fd00::2\nTrapAddr=10.0.13.33:162\n"
        )
    )
    assert config.traps.destinations == (
        Destination("10.0.13.33"),
        Destination("nms.example", 1162),
        Destination("fd00::1", 163),
        Destination("fd00::2", 162),
    )
    assert [str(destination) for destination in config.traps.destinations][2:] == ["[fd00::1]:163", "[fd00::2]:162"]
    assert config.warnings == ()


def test_version_2c_reads_no_key_of_version_3(tmp_path: Path) -> None:
    config = load(etc(tmp_path, "TrapAddr=10.0.13.33\nTrapCommunity=ops\nTrapUser=nobody\nTrapAuth=SHA\n"))
    assert (config.traps.community, config.traps.user, config.traps.security) == ("ops", None, "community")


@pytest.mark.parametrize(
    ("quadstor", "user", "security"),
    [
        (V3, User(name="ops"), "noAuthNoPriv"),
        (SIGNED, User(name="ops", auth=Auth.SHA_256, auth_passphrase=b"authpass1"), "authNoPriv"),
        (
            SIGNED + "TrapPriv=aes-256\nTrapEngineID=0x8000000001020304\n",
            User(
                name="ops",
                auth=Auth.SHA_256,
                auth_passphrase=b"authpass1",
                priv=Priv.AES_256,
                priv_passphrase=b"privpass1",
                engine_id=bytes.fromhex("8000000001020304"),
            ),
            "authPriv",
        ),
    ],
)
def test_version_3(tmp_path: Path, quadstor: str, user: User, security: str) -> None:
    traps = load(etc(tmp_path, quadstor, trap_auth="authpass1\n", trap_priv="privpass1\n")).traps
    assert (traps.user, traps.security, traps.version) == (user, security, Version.V3)


def test_passphrases_may_lie_elsewhere(tmp_path: Path) -> None:
    traps = load(etc(tmp_path, SIGNED + "TrapAuthFile=other-file\n", other_file="elsewhere!")).traps
    assert traps.user is not None
    assert traps.user.auth_passphrase == b"elsewhere!"


@pytest.mark.promise("P9")
@pytest.mark.parametrize(
    ("quadstor", "problem", "said"),
    [
        ("TrapAddr=not a host", ConfigProblem.BAD_HOST, "line 1: TrapAddr=not a host"),
        ("TrapAddr=10.0.13.333", ConfigProblem.BAD_HOST, "10.0.13.333"),
        ("TrapAddr=host:0", ConfigProblem.BAD_NUMBER, "host:0"),
        ("TrapAddr=host:66666", ConfigProblem.BAD_NUMBER, "host:66666"),
        ("TrapVersion=1", ConfigProblem.BAD_CHOICE, "not one of 2c, 3"),
        ("TrapVersion=3", ConfigProblem.NEEDS_KEY, "needs TrapUser"),
        (V3 + "TrapPriv=AES", ConfigProblem.NEEDS_KEY, "needs TrapAuth"),
        (V3 + "TrapAuth=MD5", ConfigProblem.BAD_CHOICE, "SHA-512"),
        (SIGNED + "TrapPriv=DES", ConfigProblem.BAD_CHOICE, "AES-256"),
        (V3 + "TrapAuth=SHA\nTrapPriv=AES-192", ConfigProblem.SHORT_HASH, "TrapAuth=SHA"),
        ("TrapVersion=3\nTrapUser=" + "u" * 33, ConfigProblem.BAD_CHOICE, "32 bytes"),
        (V3 + "TrapEngineID=0x1234", ConfigProblem.BAD_ENGINE_ID, "10 to 64 hex digits"),
        (V3 + "TrapEngineID=0000000000", ConfigProblem.BAD_ENGINE_ID, "0000000000"),
        (SIGNED + "TrapAuthFile=none", ConfigProblem.SHORT_PASSPHRASE, "none"),
        (SIGNED + "TrapPriv=AES", ConfigProblem.SHORT_PASSPHRASE, "fewer than 8"),
        ("PoolThreshold=100", ConfigProblem.BAD_NUMBER, "PoolThreshold"),
    ],
)
def test_what_makes_no_sense_stops_the_node_and_is_named(
    tmp_path: Path, quadstor: str, problem: ConfigProblem, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(etc(tmp_path, quadstor, trap_auth="authpass1", trap_priv="short"))
    assert raised.value.problem is problem
    assert said in tell(raised.value).detail


@pytest.mark.promise("P9")
def test_a_passphrase_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(etc(tmp_path, SIGNED, mode=0o644, trap_auth="authpass1"))
    assert raised.value.problem is ConfigProblem.SECRET_EXPOSED
    assert "authpass1" not in str(raised.value)
