"""HTTP to a witness: one client per use, and what its failures are called. No answer, and nothing logged, shows a secret."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from twindisk.errors import WitnessError, WitnessProblem
from twindisk.witness.accounts import Accounts

_LIMIT_S: Final = 30.0
"""Ends what its user forgot to limit."""


@asynccontextmanager
async def http_client(accounts: Accounts, *, tls: bool) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client without proxies or redirects. Raises WitnessError(TLS)."""
    verify = _trust(accounts.ca_file) if tls else False
    async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=_LIMIT_S) as client:
        yield client


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Return whom TLS trusts. Reading the authorities takes long, and many VDisks may ask at once: it is done once per file."""
    try:
        return _read_authorities(ca_file, 0 if ca_file is None else Path(ca_file).stat().st_mtime_ns)
    except OSError as error:
        raise WitnessError(WitnessProblem.TLS, detail=f"{ca_file}: {error.strerror or error}") from error


@functools.lru_cache(maxsize=4)
def _read_authorities(ca_file: str | None, _written_ns: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


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
