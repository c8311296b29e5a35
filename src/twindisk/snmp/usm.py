"""The User-based Security Model's keys, authentication and privacy (RFC 3414, RFC 3826, RFC 7860). Pure.

Rules:

1. A key is localized to the sender's engine; the passphrase itself is forgotten after :func:`localize`.
2. Keys are never shown by ``repr``.
3. AES-192 and AES-256 are used only with a hash as long as their key, where the two known ways of stretching a
   shorter one do not matter.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

PASSPHRASE_BYTES_MIN: Final = 8
"""RFC 3414 §11.2."""

_STRETCHED_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 16


class Auth(StrEnum):
    """Authentication protocols; the values are net-snmp's names."""

    SHA = "SHA"
    SHA_224 = "SHA-224"
    SHA_256 = "SHA-256"
    SHA_384 = "SHA-384"
    SHA_512 = "SHA-512"

    @property
    def hash_name(self) -> str:
        """The hash's name for hashlib."""
        return "sha1" if self is Auth.SHA else self.value.replace("-", "").lower()

    @property
    def hash_bytes(self) -> int:
        """The size of its keys."""
        return hashlib.new(self.hash_name).digest_size

    @property
    def tag_bytes(self) -> int:
        """The size of a message's authentication parameter (RFC 3414 §6, RFC 7860 §4)."""
        return {20: 12, 28: 16, 32: 24, 48: 32, 64: 48}[self.hash_bytes]


class Priv(StrEnum):
    """Privacy protocols: AES in CFB128 mode; the values are net-snmp's names."""

    AES = "AES"
    AES_192 = "AES-192"
    AES_256 = "AES-256"

    @property
    def key_bytes(self) -> int:
        """The size of its key."""
        return {Priv.AES: 16, Priv.AES_192: 24, Priv.AES_256: 32}[self]


def fits(auth: Auth, priv: Priv) -> bool:
    """Return whether the hash gives a key long enough for the cipher."""
    return auth.hash_bytes >= priv.key_bytes


@dataclass(frozen=True, slots=True)
class Secrets:
    """A user's localized keys. ``priv`` None: nothing is encrypted; then ``priv_key`` is empty."""

    auth: Auth
    auth_key: bytes = field(repr=False)
    priv: Priv | None = None
    priv_key: bytes = field(default=b"", repr=False)


def localize(auth: Auth, passphrase: bytes, engine_id: bytes) -> bytes:
    """Return the key for one engine made from a passphrase (RFC 3414 §2.6, §A.2)."""
    times, rest = divmod(_STRETCHED_BYTES, len(passphrase))
    key = hashlib.new(auth.hash_name, passphrase * times + passphrase[:rest]).digest()
    return hashlib.new(auth.hash_name, key + engine_id + key).digest()


def authenticate(secrets: Secrets, message: bytes) -> bytes:
    """Return the authentication parameter of a message in which its place is filled with zeros."""
    return hmac.digest(secrets.auth_key, message, secrets.auth.hash_name)[: secrets.auth.tag_bytes]


def encrypt(secrets: Secrets, plain: bytes, *, boots: int, time_s: int, salt: bytes) -> bytes:
    """Encrypt a scoped PDU: AES, CFB128; the initial vector is boots, time and the eight octets of salt (RFC 3826 §3.1.2.1)."""
    # Imported here: nodes that encrypt nothing do without the library.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    if secrets.priv is None:
        raise ValueError("no privacy protocol")
    key = secrets.priv_key[: secrets.priv.key_bytes]
    # CFB is made here from single blocks: the library's own moves from version to version.
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - see above
    before, sent = boots.to_bytes(4, "big") + time_s.to_bytes(4, "big") + salt, b""
    for start in range(0, len(plain), _BLOCK_BYTES):
        block = plain[start : start + _BLOCK_BYTES]
        before = bytes(a ^ b for a, b in zip(block, cipher.update(before), strict=False))
        sent += before
    return sent
