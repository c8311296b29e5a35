"""Real servers that can be witnesses, on this machine's loopback addresses; each ends with its block, by its process id."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from twindisk.witness.signature import signed_headers

ADDRESS = "127.0.0.1"
S3_KEY, S3_SECRET = "AKIDEXAMPLE", "hush-hush"
_START_S = 60.0


def free_ports(address: str, count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((address, 0))
        return [probe.getsockname()[1] for probe in probes]


def answers(address: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", path)
        return connection.getresponse().status < 500
    return False


@contextlib.contextmanager
def _running(argv: list[str], address: str, port: int, path: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("ab") as stream:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, env=_environment()
        )
    try:
        end = time.monotonic() + _START_S
        while not answers(address, port, path):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ETCD", "AWS"))}


@contextlib.contextmanager
def etcd_server(root: Path, *, client: tuple[str, int], tls: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Run etcd with its data under ``root``; ``client``: where it listens. ``tls``: with a certificate that it makes itself."""
    binary = shutil.which("etcd")
    assert binary is not None, "tools/install_system_packages.sh test installs it"
    address, port = client
    (peer_port, health_port) = free_ports(ADDRESS, 2)
    protocol = "https" if tls else "http"
    argv = [binary, "--name", "w", "--data-dir", str(root / "etcd"), "--log-level", "error"]
    argv += [
        "--listen-client-urls",
        f"{protocol}://{address}:{port}",
        "--advertise-client-urls",
        f"{protocol}://{ADDRESS}:{port}",
    ]
    argv += ["--listen-peer-urls", f"http://{ADDRESS}:{peer_port}", "--heartbeat-interval", "50"]
    argv += ["--initial-advertise-peer-urls", f"http://{ADDRESS}:{peer_port}", "--election-timeout", "500"]
    argv += ["--initial-cluster", f"w=http://{ADDRESS}:{peer_port}", "--unsafe-no-fsync"]
    if "unsafe-no-fsync" not in subprocess.run([binary, "--help"], capture_output=True, text=True, check=False).stdout:
        argv.remove("--unsafe-no-fsync")
    argv += ["--listen-metrics-urls", f"http://{ADDRESS}:{health_port}", *(["--auto-tls"] if tls else [])]
    with _running(argv, ADDRESS, health_port, "/health", root / "etcd.log") as process:
        yield process


def etcd_certificate(root: Path) -> Path:
    """Return the certificate that an etcd with TLS made itself."""
    return root / "etcd" / "fixtures" / "client" / "cert.pem"


def etcd_wants_accounts(root: Path, port: int, passwords: dict[str, str], prefix: str) -> None:
    """Have an etcd with TLS let in only these users, each but root for the keys under a prefix."""
    trusted = ssl.create_default_context(cafile=etcd_certificate(root))
    connection = http.client.HTTPSConnection(ADDRESS, port, timeout=20, context=trusted)

    def call(path: str, **body: object) -> None:
        connection.request("POST", f"/v3/auth/{path}", json.dumps(body))
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said

    def coded(text: str) -> str:
        return b64encode(text.encode()).decode()

    with contextlib.closing(connection):
        for user, password in passwords.items():
            call("user/add", name=user, password=password)
            call("role/add", name=user)
            call("user/grant", user=user, role=user)
            if user != "root":
                keys = {"permType": "READWRITE", "key": coded(prefix), "range_end": coded(prefix[:-1] + "0")}
                call("role/grant", name=user, perm=keys)
        call("enable")


@contextlib.contextmanager
def etcd_place(root: Path) -> Iterator[str]:
    """Run etcd and return the URL of a witness in it."""
    (port,) = free_ports(ADDRESS, 1)
    with etcd_server(root, client=(ADDRESS, port)):
        yield f"etcd://{ADDRESS}:{port}/twindisk"


@contextlib.contextmanager
def s3_endpoint(root: Path) -> Iterator[str]:
    """Run an S3 server; return its URL."""
    (port,) = free_ports(ADDRESS, 1)
    argv = [sys.executable, "-m", "moto.server", "-H", ADDRESS, "-p", str(port)]
    with _running(argv, ADDRESS, port, "/moto-api/", root / "s3.log"):
        yield f"http://{ADDRESS}:{port}"


@contextlib.contextmanager
def s3_place(root: Path) -> Iterator[str]:
    """Run an S3 server with a bucket; return the URL of a witness in it."""
    with s3_endpoint(root) as endpoint:
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=10)
        account = {"key": S3_KEY, "secret": S3_SECRET, "region": "us-east-1"}
        headers = signed_headers("PUT", f"{endpoint}/bucket", {}, b"", **account, at=datetime.now(UTC))
        with contextlib.closing(connection):
            connection.request("PUT", "/bucket", headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
        yield f"s3://bucket/twindisk?endpoint={endpoint}"


def write_accounts(etc: Path, text: str = f"S3Key={S3_KEY}\nS3Secret={S3_SECRET}\n") -> None:
    """Give a node its accounts."""
    path = etc / "witness.conf"
    path.touch(mode=0o600)
    path.write_text(text)
