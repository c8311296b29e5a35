"""Debian's tgt as the yardstick: tgtd in the foreground, one target with a backing file and default settings.

tgtd is started by us and ended by its process id; it listens on one loopback address and port and on nothing else.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IQN = "iqn.2024-01.invalid.bench:tgt"


@contextmanager
def running(backing: Path, size_bytes: int, address: str, port: int) -> Iterator[str]:
    """Run tgtd with ``backing`` (made sparse) as LUN 1 of one target; yield the LUN's iscsi:// URL."""
    with backing.open("wb") as file:
        file.truncate(size_bytes)
    control = str(port % 32768)
    # Daemons are in directories that are not on every user's path.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    environment = os.environ | {"TGT_IPC_SOCKET": str(backing.with_suffix(".socket")), "PATH": path}
    daemon = subprocess.Popen(
        [shutil.which("tgtd", path=path) or "tgtd", "-f", "-C", control, "--iscsi", f"portal={address}:{port}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        target = ["--lld", "iscsi", "--tid", "1"]
        _administer(environment, control, "--op", "new", "--mode", "target", *target, "-T", IQN, patience_s=5.0)
        _administer(
            environment, control, "--op", "new", "--mode", "logicalunit", *target, "--lun", "1", "-b", str(backing)
        )
        _administer(environment, control, "--op", "bind", "--mode", "target", *target, "-I", "ALL")
        yield f"iscsi://{address}:{port}/{IQN}/1"
    finally:
        daemon.kill()
        daemon.wait()
        backing.unlink(missing_ok=True)


def _administer(environment: dict[str, str], control: str, *arguments: str, patience_s: float = 0.0) -> None:
    """Run tgtadm; try again for ``patience_s`` while tgtd comes up."""
    end = time.monotonic() + patience_s
    while True:
        done = subprocess.run(
            [shutil.which("tgtadm", path=environment["PATH"]) or "tgtadm", "-C", control, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        if time.monotonic() >= end:
            message = f"tgtadm {' '.join(arguments)}: {done.stderr.strip()}"
            raise RuntimeError(message)
        time.sleep(0.05)
