"""The bytes of messages; the answers known from standards. tests/integration/test_notifications.py has net-snmp read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twindisk.snmp import ber
from twindisk.snmp.encoder import Encoder, Start, engine_id
from twindisk.snmp.notification import MESSAGE_BYTES_MAX, Notification, NotifyType, display_string, trap_pdu
from twindisk.snmp.settings import TrapSettings, User
from twindisk.snmp.usm import Auth, Priv, Secrets, authenticate, encrypt, localize

NODE = "00112233445566778899aabbccddeeff"
NOTIFICATION = Notification(NotifyType.WARNING, "VDisk M1 switching over to master role", up_time_ms=638_380)


@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        (ber.integer(0), "020100"),
        (ber.integer(127), "02017f"),
        (ber.integer(128), "02020080"),
        (ber.integer((1 << 31) - 1), "02047fffffff"),
        (ber.time_ticks(0), "430100"),
        (ber.time_ticks((1 << 32) - 1), "430500ffffffff"),
        (ber.time_ticks(1 << 32), "430100"),
        (ber.object_identifier((1, 3, 6, 1, 4, 1, 35815, 2, 1)), "060a2b0601040182976702" + "01"),
        (ber.octets(bytes(127)), "047f" + "00" * 127),
        (ber.octets(bytes(128)), "048180" + "00" * 128),
        (ber.octets(bytes(256)), "04820100" + "00" * 256),
        (ber.sequence(ber.integer(1), ber.octets(b"a")), "3006020101040161"),
    ],
)
def test_values_are_encoded_as_x690_says(encoded: bytes, octets: str) -> None:
    assert encoded.hex() == octets


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_an_integer_takes_as_few_octets_as_it_can(value: int) -> None:
    content = ber.integer(value)[2:]
    assert int.from_bytes(content, "big", signed=True) == value
    assert len(content) == 1 or content[0] not in (0x00, 0xFF) or (content[0] ^ content[1]) & 0x80


@given(st.text())
def test_any_text_becomes_a_display_string(text: str) -> None:
    shown = display_string(text)
    assert len(shown) <= MESSAGE_BYTES_MAX
    assert b"\n" not in shown
    assert shown.isascii()


def test_a_long_text_is_cut_visibly() -> None:
    assert display_string("x" * 255) == b"x" * 255
    assert display_string("x" * 256) == b"x" * 252 + b"..."


def test_a_notification_carries_uptime_its_name_and_two_objects_without_instance() -> None:
    pdu = trap_pdu(NOTIFICATION, 1)
    assert pdu[0] == 0xA7
    mib = "2b06010401829767" + "0201"
    for part in ("430300f95e", mib + "0002", mib + "0101" + "020102", mib + "0102"):
        assert part in pdu.hex()
    assert b"VDisk M1 switching over to master role" in pdu


def test_a_passphrase_becomes_the_key_of_rfc_3414() -> None:
    key = localize(Auth.SHA, b"maplesyrup", bytes.fromhex("000000000000000000000002"))
    assert key.hex() == "6695febc9288e36282235fc7151f128497b38f3f"


def test_aes_in_cfb_mode_gives_the_answer_of_sp_800_38a() -> None:
    secrets = Secrets(Auth.SHA, b"", Priv.AES, bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    salt = bytes.fromhex("08090a0b0c0d0e0f")
    sent = encrypt(secrets, plain, boots=0x00010203, time_s=0x04050607, salt=salt)
    assert sent.hex() == "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"
    assert encrypt(secrets, plain[:20], boots=0x00010203, time_s=0x04050607, salt=salt) == sent[:20]


@pytest.mark.parametrize("auth", Auth)
def test_a_message_is_signed_over_all_its_octets(auth: Auth) -> None:
    secrets = Secrets(auth, bytes(auth.hash_bytes))
    tag = authenticate(secrets, b"message")
    assert len(tag) == auth.tag_bytes
    assert tag != authenticate(secrets, b"massage")


def v3(priv: Priv | None = Priv.AES, **start: int) -> Encoder:
    user = User(name="ops", auth=Auth.SHA_256, auth_passphrase=b"authpass1", priv=priv, priv_passphrase=b"privpass1")
    return Encoder(
        TrapSettings(user=user), Start(NODE, **{"boots": 3, "request_id": 7, "salt": 9, **start}), lambda: 5.5
    )


def test_no_two_messages_are_the_same_and_encrypted_ones_show_nothing() -> None:
    encode = v3()
    messages = {encode(NOTIFICATION) for _ in range(50)}
    assert len(messages) == 50
    assert not any(b"VDisk" in message for message in messages)
    assert all(b"VDisk" in v3(priv=None)(NOTIFICATION) for _ in range(2))


def test_numbers_at_their_limits_are_encoded() -> None:
    encode = v3(boots=1 << 40, request_id=(1 << 31) - 1, salt=(1 << 64) - 1)
    assert encode(NOTIFICATION) != encode(NOTIFICATION)


def test_the_engine_id_is_the_nodes_own_or_the_configured_one() -> None:
    assert engine_id(TrapSettings(), NODE).hex() == "80008be705" + NODE
    assert engine_id(TrapSettings(user=User(name="ops", engine_id=b"12345")), NODE) == b"12345"


@pytest.mark.promise("P9")
def test_no_secret_shows_in_what_is_printed() -> None:
    settings = TrapSettings(
        community="s3cret", user=User(name="ops", auth_passphrase=b"s3cretauth", priv_passphrase=b"s3cretpriv")
    )
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in repr(Secrets(Auth.SHA, b"s3cretkey", Priv.AES, b"s3cretkey"))


def test_the_count_of_starts_and_the_time_stand_in_each_message() -> None:
    plain = Encoder(TrapSettings(user=User(name="ops")), Start(NODE, boots=77, request_id=1, salt=1), lambda: 1234.9)
    assert ber.integer(77) + ber.integer(1234) + ber.octets(b"ops") in plain(NOTIFICATION)
