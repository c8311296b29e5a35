"""Secrets on their way between two nodes: encrypted and authenticated with a key made from the pair's secret.

Rules:

* AES-256-GCM with a fresh random nonce for each text; the key is HKDF-SHA256 of the pair's secret and serves nothing else.
* A sealed text says what it is about (the VDisk's serial number), so that one cannot stand in for another.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_KEY_BYTES = 32
_PURPOSE = b"twindisk: who is let in"


class SealError(Exception):
    """A text was not sealed with this pair's secret, is about something else, or was changed."""


def seal(secret: bytes, about: str, text: str) -> str:
    """Return the text sealed, as base64: a nonce of 12 bytes, the ciphertext, a tag of 16 bytes."""
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + _cipher(secret).encrypt(nonce, text.encode(), about.encode())).decode("ascii")


def unseal(secret: bytes, about: str, sealed: str) -> str:
    """Return what was sealed. Raises SealError."""
    try:
        whole = base64.b64decode(sealed, validate=True)
        opened = _cipher(secret).decrypt(whole[:_NONCE_BYTES], whole[_NONCE_BYTES:], about.encode())
        return opened.decode()
    except (binascii.Error, InvalidTag, ValueError) as error:
        raise SealError from error


def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret))
