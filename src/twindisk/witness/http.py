"""HTTP to a witness: one client per use, and what its failures are called. No answer, and nothing logged, shows a secret."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from twindisk.errors import WitnessError, WitnessProblem
from twindisk.witness.accounts import Accounts

_LIMIT_S: Final = 30.0
"""Ends what its user forgot to limit."""


@asynccontextmanager
async def http_client(accounts: Accounts, *, tls: bool) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client without proxies or redirects. Raises WitnessError(TLS)."""
    try:
        verify = ssl.create_default_context(cafile=accounts.ca_file) if tls else False
    except OSError as error:
        detail = f"{accounts.ca_file}: {error.strerror or error}"
        raise WitnessError(WitnessProblem.TLS, detail=detail) from error
    async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=_LIMIT_S) as client:
        yield client


async def ask(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send a request; return the answer, whatever its status. Raises WitnessError(UNREACHABLE)."""
    try:
        return await client.send(request)
    except httpx.HTTPError as error:
        detail = f"{request.url.host}: {str(error) or type(error).__name__}"
        raise WitnessError(WitnessProblem.UNREACHABLE, detail=detail) from error


def refusal(where: str, answer: httpx.Response, words: str = "") -> WitnessError:
    """Return what an answer means that is not the expected one."""
    detail = f"{where}: HTTP {answer.status_code} {words}".rstrip()
    denied = answer.status_code in (401, 403)
    return WitnessError(WitnessProblem.DENIED if denied else WitnessProblem.BAD_ANSWER, detail=detail)
