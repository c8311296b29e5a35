"""``witness.conf``: the accounts by which a node uses witnesses. Read at every use, so that a new password needs no restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from twindisk.config_file import read_config_file, read_private

FILE: Final = "witness.conf"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Names and secrets; None: none is given. ``ca_file``: whom TLS trusts instead of the system's authorities."""

    etcd_user: str | None = None
    etcd_password: str | None = field(default=None, repr=False)
    s3_key: str | None = None
    s3_secret: str | None = field(default=None, repr=False)
    ca_file: str | None = None


def read_accounts(etc: Path) -> Accounts:
    """Read the file. Raises ConfigError, also when others than its owner may read it."""
    path = etc / FILE
    if read_private(path) is None:
        return Accounts()
    file = read_config_file(path)
    return Accounts(
        etcd_user=file.text("EtcdUser"),
        etcd_password=file.text("EtcdPassword"),
        s3_key=file.text("S3Key"),
        s3_secret=file.text("S3Secret"),
        ca_file=file.text("CaFile"),
    )
