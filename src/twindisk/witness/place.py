"""Where a witness is: the URL that an operator gives, taken apart.

Rules:

1. A place holds no secret: an account in a URL is refused, for URLs are shown, logged and told to the peer's operators.
2. What is not understood is refused; nothing is guessed.

::

    etcd://HOST[:PORT][,HOST[:PORT]...]/PREFIX      over HTTP; etcds:// over TLS
    file:///DIRECTORY                               a directory on a share that both nodes have mounted
    s3://BUCKET[/PREFIX][?endpoint=URL][&region=REGION]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from twindisk.errors import InvalidError, InvalidProblem

ETCD_PORT: Final = 2379
DEFAULT_REGION: Final = "us-east-1"
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class EtcdPlace:
    """An etcd cluster. ``endpoints``: base URLs; ``prefix``: what all keys begin with, without a slash at its end."""

    endpoints: tuple[str, ...]
    prefix: str


@dataclass(frozen=True, slots=True)
class SharePlace:
    """A directory on a share."""

    directory: Path


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """An S3 bucket. ``base``: the URL that the keys are appended to; ``prefix`` as for etcd, or empty."""

    base: str
    prefix: str
    region: str


Place: TypeAlias = EtcdPlace | SharePlace | BucketPlace


def read_place(text: str) -> Place:
    """Take a URL apart. Raises InvalidError(WITNESS)."""
    try:
        return _read(text)
    except ValueError as error:
        raise InvalidError(InvalidProblem.WITNESS, value=_shown(text), detail=str(error)) from None


def _read(text: str) -> Place:
    url = urlsplit(text)
    if "@" in url.netloc:
        raise ValueError("accounts belong into witness.conf, not into the URL")
    if url.fragment or not text.isprintable() or " " in text:
        raise ValueError("a URL has no spaces and no '#'")
    if url.scheme in ("etcd", "etcds"):
        if url.query:
            raise ValueError("an etcd URL has no '?'")
        return _etcd(url.scheme, url.netloc, url.path)
    if url.scheme == "file":
        if url.netloc or url.query or not url.path.startswith("/") or url.path == "/":
            raise ValueError("a share is named as file:///DIRECTORY")
        return SharePlace(Path(url.path))
    if url.scheme == "s3":
        return _bucket(url.netloc, url.path, url.query)
    raise ValueError("it begins with etcd://, etcds://, file:/// or s3://")


def _etcd(scheme: str, hosts: str, path: str) -> EtcdPlace:
    names = hosts.split(",")
    if not all(_HOST.fullmatch(name) for name in names):
        raise ValueError("the hosts are written as HOST:PORT,HOST:PORT,...")
    protocol = "https" if scheme == "etcds" else "http"
    with_port = [name if re.search(r":\d+$", name) else f"{name}:{ETCD_PORT}" for name in names]
    prefix = path.strip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("a prefix of the keys follows the hosts, such as /twindisk")
    return EtcdPlace(tuple(f"{protocol}://{name}" for name in with_port), prefix)


def _bucket(bucket: str, path: str, query: str) -> BucketPlace:
    prefix = path.strip("/")
    if not _BUCKET.fullmatch(bucket) or (prefix and not _PREFIX.fullmatch(prefix)):
        raise ValueError("a bucket is named as s3://BUCKET/PREFIX")
    options = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    if set(options) - {"endpoint", "region"} or any(len(values) > 1 for values in options.values()):
        raise ValueError("a bucket's URL takes endpoint= and region=, each once")
    region = options.get("region", [DEFAULT_REGION])[0]
    if not _REGION.fullmatch(region):
        raise ValueError("region= takes a name such as eu-central-1")
    if "endpoint" not in options:
        return BucketPlace(f"https://{bucket}.s3.{region}.amazonaws.com", prefix, region)
    endpoint = urlsplit(options["endpoint"][0])
    plain = not (endpoint.path.strip("/") or endpoint.query or endpoint.fragment)
    if endpoint.scheme not in ("http", "https") or not _HOST.fullmatch(endpoint.netloc) or not plain:
        raise ValueError("endpoint= takes https://HOST:PORT")
    return BucketPlace(f"{endpoint.scheme}://{endpoint.netloc}/{bucket}", prefix, region)


def _shown(text: str) -> str:
    """Return a URL without an account that does not belong there."""
    return re.sub(r"//[^/]*@", "//***@", text)
