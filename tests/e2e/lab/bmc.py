"""A management controller (BMC) that speaks Redfish (DMTF DSP0266), as far as fence agents use it, for one node of a test.

Rules:

* It is no part of the node: it runs in the test's process and goes on when the node is dead. Its power switch is two callbacks.
* Off is answered only once ``power_off`` has returned, unless ``slow_s`` delays the switch as real ones do. Switching off what is off
  does nothing.
* It is given its listening socket, which may belong to another network namespace (``Network.listen``).
* Every request is noted: who asked for what, and what the answer was.
"""

import base64
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = "/redfish/v1"
_LONGEST_BODY: Final = 1 << 16
_OFF: Final = frozenset({"ForceOff", "GracefulShutdown"})
_ON: Final = frozenset({"On", "ForceOn"})


class Mood(Enum):
    """How a BMC takes requests."""

    ANSWERS = auto()
    REFUSES = auto()
    """Nobody is let in, whatever the password."""
    HANGS = auto()
    """Connections are accepted, requests are read, and nothing is answered."""
    IGNORES = auto()
    """Says yes to a reset and does nothing."""


@dataclass(frozen=True)
class Asked:
    """One request. ``took_s``: until its answer; ``reset``: the ResetType asked for; ``status``: the HTTP status, None: none was given."""

    at_s: float
    took_s: float
    client: str
    user: str | None
    request: str
    reset: str | None
    status: int | None


@dataclass(frozen=True)
class Login:
    """Who is let in."""

    user: str
    password: str


class Bmc:
    """The BMC of node ``name``; a context manager that listens. ``switch_on`` and ``switch_off`` are the buttons at the machine."""

    def __init__(
        self,
        name: str,
        login: Login,
        *,
        power_off: Callable[[], object],
        power_on: Callable[[], object] = lambda: None,
        slow_s: float = 0.0,
    ) -> None:
        self.name = name
        self.login = login
        self.mood = Mood.ANSWERS
        self.asked: list[Asked] = []
        self._power_off, self._power_on, self._slow_s = power_off, power_on, slow_s
        self._on = True
        self._switching = threading.Lock()
        self._ended = threading.Event()
        self._server: _Server | None = None

    def start(self, listening: socket.socket, directory: Path) -> Self:
        """Serve at a listening socket, which is the BMC's from now on. ``directory``: for the certificate, ``bmc.pem``."""
        self._server = _Server(listening, _tls(listening.getsockname()[0], directory), self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name=f"BMC {self.name}", daemon=True).start()
        return self

    def stop(self) -> None:
        """Be gone, as a BMC whose power supply has failed is."""
        self._ended.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "the BMC does not run"
        return int(self._server.server_address[1])

    @property
    def is_on(self) -> bool:
        """Whether the node has power."""
        return self._on

    @property
    def resets(self) -> list[str]:
        """The resets that were asked for and let in."""
        return [
            asked.reset
            for asked in self.asked
            if asked.reset and asked.status and asked.status < HTTPStatus.BAD_REQUEST
        ]

    def switch_off(self) -> None:
        """Take the node's power."""
        with self._switching:
            if self._on:
                self._power_off()
                self._on = False

    def switch_on(self) -> None:
        """Give the node power."""
        with self._switching:
            if not self._on:
                self._on = True
                self._power_on()

    def reset(self, kind: str) -> HTTPStatus:
        """Do what a ResetType says (DSP0268, ComputerSystem.Reset)."""
        if kind not in _OFF | _ON | {"ForceRestart"}:
            return HTTPStatus.BAD_REQUEST
        if self.mood is Mood.IGNORES:
            return HTTPStatus.NO_CONTENT
        steps = [self.switch_off] * (kind not in _ON) + [self.switch_on] * (kind not in _OFF)
        if self._slow_s:
            threading.Timer(self._slow_s, lambda: [step() for step in steps]).start()
        else:
            for step in steps:
                step()
        return HTTPStatus.NO_CONTENT

    def wait_until_ended(self) -> None:
        """Return when the BMC is stopped: how a request is never answered."""
        self._ended.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext, bmc: Bmc) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = listening.getsockname()
        self.bmc = bmc
        self._tls = tls

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the handshake is left to the connection's own thread, lest a silent client keep the others out."""
        connection, client = self.socket.accept()
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), client

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that are gone or did not like the certificate."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        """Answer with a resource."""
        self._answer(None)

    def do_POST(self) -> None:
        """Carry out an action."""
        body = self.rfile.read(min(int(self.headers.get("content-length") or 0), _LONGEST_BODY))
        with suppress(ValueError, KeyError, TypeError):
            self._answer(str(json.loads(body)["ResetType"]))
            return
        self._answer("")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Keep still; ``asked`` has it all."""

    def _answer(self, reset: str | None) -> None:
        bmc, at_s = self.server.bmc, time.monotonic()
        if bmc.mood is Mood.HANGS:
            self._note(at_s, reset, None)
            bmc.wait_until_ended()
            self.close_connection = True
            return
        status, document = self._decide(reset)
        self._note(at_s, reset, status)
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("OData-Version", "4.0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="Redfish"')
        self.end_headers()
        self.wfile.write(body)

    def _decide(self, reset: str | None) -> tuple[HTTPStatus, dict[str, Any] | None]:
        bmc, path = self.server.bmc, self.path.rstrip("/")
        if path == ROOT and reset is None:  # the only one without login (DSP0266, 13.3.4)
            return HTTPStatus.OK, {
                "@odata.id": ROOT,
                "RedfishVersion": "1.15.0",
                "Systems": {"@odata.id": f"{ROOT}/Systems"},
            }
        if bmc.mood is Mood.REFUSES or self._credentials() != (bmc.login.user, bmc.login.password):
            return HTTPStatus.UNAUTHORIZED, _error("Base.1.0.InsufficientPrivilege", "login refused")
        system = f"{ROOT}/Systems/{bmc.name}"
        action = f"{system}/Actions/ComputerSystem.Reset"
        if path == f"{ROOT}/Systems" and reset is None:
            return HTTPStatus.OK, {"@odata.id": path, "Members@odata.count": 1, "Members": [{"@odata.id": system}]}
        if path == system and reset is None:
            return HTTPStatus.OK, {
                "@odata.id": system,
                "Name": bmc.name,
                "PowerState": "On" if bmc.is_on else "Off",
                "Actions": {"#ComputerSystem.Reset": {"target": action}},
            }
        if path == action and reset is not None:
            status = bmc.reset(reset)
            failed = status >= HTTPStatus.BAD_REQUEST
            return status, _error("Base.1.0.ActionParameterNotSupported", f"ResetType {reset}") if failed else None
        return HTTPStatus.NOT_FOUND, _error("Base.1.0.ResourceMissingAtURI", f"nothing at {self.path}")

    def _credentials(self) -> tuple[str, str] | None:
        """Return user and password of HTTP Basic authentication (RFC 7617)."""
        scheme, _, token = (self.headers.get("authorization") or "").partition(" ")
        with suppress(ValueError):
            user, colon, password = base64.b64decode(token, validate=True).decode().partition(":")
            if scheme.lower() == "basic" and colon:
                return user, password
        return None

    def _note(self, at_s: float, reset: str | None, status: HTTPStatus | None) -> None:
        credentials = self._credentials()
        self.server.bmc.asked.append(
            Asked(
                at_s=at_s,
                took_s=time.monotonic() - at_s,
                client=str(self.client_address[0]),
                user=credentials[0] if credentials else None,
                request=f"{self.command} {self.path}",
                reset=reset or None,
                status=None if status is None else int(status),
            )
        )


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _tls(address: str, directory: Path) -> ssl.SSLContext:
    """Return a context with a certificate made for this run, signed by nobody but itself."""
    directory.mkdir(parents=True, exist_ok=True)
    key, certificate = directory / "bmc.key", directory / "bmc.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-days", "2", "-subj", f"/CN={address}", "-addext", f"subjectAltName=IP:{address}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
