"""Signatures of S3 requests: AWS Signature Version 4 for headers, for requests without a query. Pure: the time is a parameter."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


def signed_headers(
    method: str, url: str, headers: dict[str, str], body: bytes, *, key: str, secret: str, region: str, at: datetime
) -> dict[str, str]:
    """Return the headers of a request with ``Authorization`` and what it needs. ``at``: UTC, within minutes of the server's clock."""
    parts = urlsplit(url)
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    sent = {**headers, "Host": parts.netloc, "x-amz-date": stamp, "x-amz-content-sha256": digest}
    lower = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    names = ";".join(sorted(lower))
    canonical = "\n".join(
        [
            method,
            quote(parts.path, safe="/-_.~"),
            "",
            *(f"{name}:{lower[name]}" for name in sorted(lower)),
            "",
            names,
            digest,
        ]
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing_key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.digest(signing_key, text.encode(), "sha256").hex()
    return {
        **sent,
        "Authorization": f"{_ALGORITHM} Credential={key}/{scope},SignedHeaders={names},Signature={signature}",
    }
