"""The lock on the peer's door: pure ASGI, so that it sees the bytes that were signed and signs the bytes that go out.

A request without a genuine, fresh and new signature is answered 401 before any route sees it; nothing about it is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twindisk.api.problems import problem_response
from twindisk.errors import RefusedError, RefusedProblem
from twindisk.node.log import Log
from twindisk.sentences import tell
from twindisk.signing import ANSWER_HEADER, RequestVerifier, Stamp, sign_answer

BODY_MAX_BYTES = 1 << 20


class PeerAuth:
    """Lets signed requests through and signs their answers."""

    def __init__(
        self, app: ASGIApp, *, secret: bytes, log: Log, now_s: Callable[[], int] = lambda: int(time.time())
    ) -> None:
        self._app = app
        self._secret = secret
        self._log = log
        self._now_s = now_s
        self._verifier = RequestVerifier(secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _read_body(receive)
        stamp = Stamp.from_headers({key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]})
        path = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        if body is None or stamp is None or not self._accepts(stamp, scope["method"], path, body):
            client = scope.get("client") or ("unknown", 0)
            self._log.warning("a request to the peer's API was not signed by the peer", client=client[0], path=path)
            response = problem_response(tell(RefusedError(RefusedProblem.UNAUTHORIZED)))
            await response(scope, receive, send)
            return
        answer = _Answer(send, self._secret, stamp.nonce)
        await self._app({**scope, "twindisk.sender": stamp.sender}, _replay(body, receive), answer.send)

    def _accepts(self, stamp: Stamp, method: str, path: str, body: bytes) -> bool:
        return self._verifier.accepts(stamp, now_s=self._now_s(), method=method, path=path, body=body)


class _Answer:
    """Holds an answer back until all of it is there, then sends it with its signature."""

    def __init__(self, send: Send, secret: bytes, nonce: str) -> None:
        self._send = send
        self._secret = secret
        self._nonce = nonce
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        signature = sign_answer(self._secret, nonce=self._nonce, status=self._start["status"], body=self._body)
        headers = [*self._start["headers"], (ANSWER_HEADER.encode(), signature.encode())]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": self._body})


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body, None when it is too large or the sender went away."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > BODY_MAX_BYTES:
            return None
        if not message.get("more_body"):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives the body first."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
