"""How two nodes know each other's REST requests: an HMAC of everything that matters, never the secret itself.

Rules:

* A request carries its sender's mirror address, a time, a nonce and the HMAC-SHA256 (with the pair's secret) of these
  and of method, path with query, and body. An answer carries the HMAC of the request's nonce, the status and the body.
* A request older or newer than ``SKEW_MAX_S`` is refused, and so is a nonce seen before: a recorded request is worth
  nothing.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

SKEW_MAX_S = 300
ANSWER_HEADER = "twindisk-signature"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What proves a request. ``sender``: its node's mirror address; ``time_s``: Unix time."""

    sender: str
    time_s: int
    nonce: str
    signature: str

    def headers(self) -> dict[str, str]:
        """Return the stamp as HTTP headers."""
        return {
            "twindisk-sender": self.sender,
            "twindisk-time": str(self.time_s),
            "twindisk-nonce": self.nonce,
            "twindisk-signature": self.signature,
        }

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Stamp | None:
        """Return the stamp of a request's headers (names in lower case), None when it is not whole."""
        time_s = headers.get("twindisk-time", "")
        sender, nonce = headers.get("twindisk-sender", ""), headers.get("twindisk-nonce", "")
        signature = headers.get("twindisk-signature", "")
        if not (sender and nonce and signature and time_s.isascii() and time_s.isdigit() and len(time_s) <= 12):  # noqa: PLR2004 - digits of any time to come
            return None
        return cls(sender, int(time_s), nonce, signature)


def new_nonce() -> str:
    """Return a nonce that was never used."""
    return secrets.token_hex(16)


def sign_request(secret: bytes, *, sender: str, time_s: int, nonce: str, method: str, path: str, body: bytes) -> Stamp:
    """Return the stamp of a request. ``path`` with its query, as it goes over the wire."""
    signature = _mac(secret, b"request", sender, str(time_s), nonce, method.upper(), path, body=body)
    return Stamp(sender, time_s, nonce, signature)


def sign_answer(secret: bytes, *, nonce: str, status: int, body: bytes) -> str:
    """Return the signature of the answer to the request with this nonce."""
    return _mac(secret, b"answer", nonce, str(status), body=body)


def answer_is_genuine(secret: bytes, *, nonce: str, status: int, body: bytes, signature: str) -> bool:
    """Return whether an answer comes from who knows the secret and belongs to this request."""
    return hmac.compare_digest(sign_answer(secret, nonce=nonce, status=status, body=body), signature)


class RequestVerifier:
    """Checks requests; remembers nonces for as long as their time would pass."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._seen: OrderedDict[str, int] = OrderedDict()

    def accepts(self, stamp: Stamp, *, now_s: int, method: str, path: str, body: bytes) -> bool:
        """Return whether the request is genuine, fresh and new; remember it then."""
        expected = sign_request(
            self._secret,
            sender=stamp.sender,
            time_s=stamp.time_s,
            nonce=stamp.nonce,
            method=method,
            path=path,
            body=body,
        )
        if not hmac.compare_digest(expected.signature, stamp.signature):
            return False
        if abs(now_s - stamp.time_s) > SKEW_MAX_S or stamp.nonce in self._seen:
            return False
        self._seen[stamp.nonce] = stamp.time_s
        # Oldest first; only who knows the secret gets here, so the peer's own pace bounds what is kept.
        while now_s - next(iter(self._seen.values())) > SKEW_MAX_S:
            self._seen.popitem(last=False)
        return True


def _mac(secret: bytes, purpose: bytes, *words: str, body: bytes) -> str:
    """Return the HMAC over the words, each with its length, so that no two lists of words are the same bytes."""
    mac = hmac.new(secret, digestmod=sha256)
    for part in (purpose, *(word.encode() for word in words), body):
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.hexdigest()
