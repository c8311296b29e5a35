"""A witness in etcd, v3, through its JSON gateway.

Keys are written in a transaction that asks for ``create_revision == 0``; etcd answers when a majority of its members has it on disk.
Reads are linearizable, etcd's default. Several endpoints are tried in turn, the one that answered last first: writing a key again finds what was written.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from twindisk.errors import WitnessError, WitnessProblem
from twindisk.witness.accounts import Accounts
from twindisk.witness.hints import Hints
from twindisk.witness.http import ask, http_client, refusal
from twindisk.witness.place import EtcdPlace

_ENDPOINT_S: Final = 0.7
"""How long one of several endpoints may take before the next is tried."""
_DENIALS: Final = ("permission denied", "authentication failed", "user name is empty", "invalid auth token")


@asynccontextmanager
async def etcd_store(place: EtcdPlace, accounts: Accounts, hints: Hints) -> AsyncIterator[EtcdStore]:
    """Open a store in etcd."""
    async with http_client(accounts, tls=place.endpoints[0].startswith("https:")) as client:
        yield EtcdStore(place, accounts, hints, client)


class EtcdStore:
    """The keys under a prefix."""

    def __init__(self, place: EtcdPlace, accounts: Accounts, hints: Hints, client: httpx.AsyncClient) -> None:
        self._place = place
        self._accounts = accounts
        self._hints = hints
        self._client = client
        self._tokens: dict[str, str] = {}

    async def write_once(self, key: str, value: bytes) -> bytes | None:
        """Write a key that nobody has written; return None, or what stands there already."""
        name = self._name(key)
        answer = await self._ask(
            "kv/txn",
            {
                "compare": [{"key": name, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                "success": [{"request_put": {"key": name, "value": b64encode(value).decode()}}],
                "failure": [{"request_range": {"key": name}}],
            },
        )
        if answer.get("succeeded") is True:
            return None
        found = _value(answer.get("responses", [{}])[0].get("response_range", {}))
        if found is None:
            raise WitnessError(
                WitnessProblem.BAD_ANSWER, detail=f"{self._place.endpoints[0]}: a key that is there and is not"
            )
        return found

    async def read(self, key: str) -> bytes | None:
        """Return what stands in a key, None if nobody has written it."""
        return _value(await self._ask("kv/range", {"key": self._name(key)}))

    async def remove(self, key: str) -> None:
        """Remove a key."""
        await self._ask("kv/deleterange", {"key": self._name(key)})

    def _name(self, key: str) -> str:
        return b64encode(f"{self._place.prefix}/{key}".encode()).decode()

    async def _ask(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        endpoints = self._place.endpoints
        answered = self._hints.answered.get(endpoints)
        *others, last = sorted(endpoints, key=lambda endpoint: endpoint != answered)
        for endpoint in others:
            try:
                async with asyncio.timeout(_ENDPOINT_S):
                    found = await self._ask_one(endpoint, call, body)
            except (TimeoutError, WitnessError):
                continue
            self._hints.answered[endpoints] = endpoint
            return found
        found = await self._ask_one(last, call, body)
        self._hints.answered[endpoints] = last
        return found

    async def _ask_one(self, endpoint: str, call: str, body: dict[str, Any]) -> dict[str, Any]:
        if self._accounts.etcd_user is not None and endpoint not in self._tokens:
            account = {"name": self._accounts.etcd_user, "password": self._accounts.etcd_password or ""}
            token = (await self._post(endpoint, "auth/authenticate", account)).get("token")
            self._tokens[endpoint] = str(token or "")
        return await self._post(endpoint, call, body)

    async def _post(self, endpoint: str, call: str, body: dict[str, Any]) -> dict[str, Any]:
        token = self._tokens.get(endpoint)
        headers = {"Authorization": token} if token else {}
        request = self._client.build_request("POST", f"{endpoint}/v3/{call}", json=body, headers=headers)
        answer = await ask(self._client, request)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.status_code != httpx.codes.OK or not isinstance(found, dict):
            raise _refused(endpoint, answer, found)
        return found


def _refused(endpoint: str, answer: httpx.Response, found: Any) -> WitnessError:
    words = str(found.get("message") or found.get("error") or "")[:200] if isinstance(found, dict) else ""
    if any(said in words for said in _DENIALS):
        return WitnessError(WitnessProblem.DENIED, detail=f"{endpoint}: {words}")
    return refusal(endpoint, answer, words)


def _value(found: dict[str, Any]) -> bytes | None:
    """Return the one value of a range's answer."""
    kvs = found.get("kvs") or []
    return b64decode(kvs[0].get("value", "")) if kvs else None
