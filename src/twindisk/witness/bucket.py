"""A witness in an S3 bucket: objects written with ``If-None-Match: *``.

A server that does not know the condition would write over a claim, and both nodes would win: before a witness is taken it is tried
(:mod:`twindisk.witness.use`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import httpx

from twindisk.errors import WitnessError, WitnessProblem
from twindisk.witness.accounts import Accounts
from twindisk.witness.http import ask, http_client, refusal
from twindisk.witness.place import BucketPlace
from twindisk.witness.signature import signed_headers

_CONFLICT_PAUSE_S: Final = 0.05


@asynccontextmanager
async def bucket_store(place: BucketPlace, accounts: Accounts) -> AsyncIterator[BucketStore]:
    """Open a store in a bucket. Raises WitnessError(NO_ACCOUNT)."""
    if not accounts.s3_key or not accounts.s3_secret:
        raise WitnessError(WitnessProblem.NO_ACCOUNT, detail=place.base)
    async with http_client(accounts, tls=place.base.startswith("https:")) as client:
        yield BucketStore(place, accounts.s3_key, accounts.s3_secret, client)


class BucketStore:
    """The objects under a prefix."""

    def __init__(self, place: BucketPlace, key: str, secret: str, client: httpx.AsyncClient) -> None:
        self._place = place
        self._key = key
        self._secret = secret
        self._client = client

    async def write_once(self, key: str, value: bytes) -> bytes | None:
        """Write an object that nobody has written; return None, or what stands there already."""
        while True:
            answer = await self._ask("PUT", key, value, {"If-None-Match": "*"})
            if answer.status_code == httpx.codes.OK:
                return None
            if answer.status_code == httpx.codes.CONFLICT:
                # Somebody writes it at this moment.
                await asyncio.sleep(_CONFLICT_PAUSE_S)
                continue
            if answer.status_code != httpx.codes.PRECONDITION_FAILED:
                raise self._refused(answer)
            found = await self.read(key)
            if found is None:
                raise WitnessError(
                    WitnessProblem.BAD_ANSWER, detail=f"{self._place.base}: an object that is there and is not"
                )
            return found

    async def read(self, key: str) -> bytes | None:
        """Return what stands in an object, None if nobody has written it."""
        answer = await self._ask("GET", key, b"", {})
        if answer.status_code == httpx.codes.NOT_FOUND and _code(answer) != "NoSuchBucket":
            return None
        if answer.status_code != httpx.codes.OK:
            raise self._refused(answer)
        return answer.content

    async def remove(self, key: str) -> None:
        """Remove an object."""
        answer = await self._ask("DELETE", key, b"", {})
        if not answer.is_success:
            raise self._refused(answer)

    async def _ask(self, method: str, key: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        path = f"{self._place.prefix}/{key}" if self._place.prefix else key
        url = f"{self._place.base}/{path}"
        signed = signed_headers(
            method,
            url,
            headers,
            body,
            key=self._key,
            secret=self._secret,
            region=self._place.region,
            at=datetime.now(UTC),
        )
        return await ask(self._client, self._client.build_request(method, url, content=body, headers=signed))

    def _refused(self, answer: httpx.Response) -> WitnessError:
        return refusal(self._place.base, answer, _code(answer))


def _code(answer: httpx.Response) -> str:
    """Return S3's word for what is wrong."""
    found = re.search(r"<Code>(\w+)</Code>", answer.text[:2000])
    return found[1] if found else ""
