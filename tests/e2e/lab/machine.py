"""A node of the lab: a machine as far as network, processes, host name, disk and devices go, on this machine's kernel.

Rules
- Its root is an overlay: a clean Debian with our packages below, the machine's own disk (a folder) above; the disk outlives a panic.
- One process holds it, its process 1; whatever runs in it ends with that, and that ends with the test process.
- Without power its cables are cut first, then process 1 is killed: from outside the machine just falls silent. It may take the kernel long
  to end the rest, for the disk has to take what it was given: a BMC does not wait for that, the next boot does.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from e2e.lab.command import LabError, Result, checked, eventually
from e2e.lab.loop_device import LoopDevice
from e2e.lab.network import NAMESPACES, Interface, Network
from e2e.lab.process import ProcessJob, start_process

BOOT = Path(__file__).parent / "boot_machine.sh"
LOG = "/var/log/twindiskd.log"
_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "TERM=dumb",
)


class Machine:
    """One node. ``directory``: where its files are; ``layers``: its root's lower layers, uppermost first."""

    def __init__(
        self,
        name: str,
        network: Network,
        interfaces: Sequence[Interface],
        layers: Sequence[Path],
        directory: Path,
        *,
        disk_gib: int | None = None,
    ) -> None:
        self.name = name
        self._network = network
        self._interfaces = tuple(interfaces)
        self._layers = ":".join(str(layer) for layer in layers)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._remains: subprocess.Popen[bytes] | None = None
        self._power = threading.Lock()  # a BMC's thread may press the switch, too
        self._clearing = threading.Lock()
        self._jobs: list[ProcessJob] = []
        for folder in ("disk/etc", "work", "root"):
            (directory / folder).mkdir(parents=True)
        self._write_names()
        self._loop = LoopDevice(directory / "block-device", disk_gib << 30) if disk_gib is not None else None

    @property
    def block_device(self) -> Path:
        """The raw block device that the machine has, for a pool."""
        if self._loop is None:
            message = f"{self.name} has no block device"
            raise LabError(message)
        return self._loop.path

    @property
    def running(self) -> bool:
        """Whether the machine is up."""
        return self._process is not None

    @property
    def init_pid(self) -> int:
        """The machine's process 1, by its id outside the machine; 0 when it is off."""
        return self._init_pid if self.running else 0

    def start(self) -> None:
        """Boot: a new network stack, cables in, the same disk."""
        self._clear_away()
        with self._power:
            self._start()

    def panic(self) -> None:
        """Fall silent, then die: no reset, no goodbye. What was written to disk stays. The machine is gone on return."""
        self.cut_power()
        self._clear_away()

    def cut_power(self) -> None:
        """Fall silent and begin to die: nothing gets in or out any more on return."""
        with self._power:
            self._cut_power()

    def _start(self) -> None:
        if self._process is not None or self._remains is not None:
            message = f"{self.name} is up already"
            raise LabError(message)
        self._network.attach(self.name, self._interfaces)
        namespaces = [f"--net={NAMESPACES / self._network.namespace(self.name)}", "unshare", "--mount", "--pid"]
        namespaces += ["--uts", "--ipc", "--fork", "--kill-child=KILL"]
        device = [str(self._loop.path)] if self._loop is not None else []
        boot = ["sh", str(BOOT), self.name, self._layers, str(self._directory), *device]
        said_end, says_end = os.pipe()
        with (
            os.fdopen(said_end, "rb") as said,
            os.fdopen(says_end, "wb") as says,
            (self._directory / "boot.log").open("ab") as log,
        ):
            process = self._process = start_process(["nsenter", *namespaces, *boot], output=says, errors=log)
            says.close()
            first_words = said.readline()
        if first_words != b"up\n":
            self._cut_power()
            message = f"{self.name} did not boot: {(self._directory / 'boot.log').read_text('utf-8', 'replace')}"
            raise LabError(message)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
        self._init_pid = int(children)

    def _cut_power(self) -> None:
        if self._process is None:
            return
        for interface in self._interfaces:
            self._network.plug(self.name, interface.name, up=False)
        with contextlib.suppress(ProcessLookupError):
            if self._init_pid:
                os.kill(self._init_pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._remains, self._process, self._init_pid = self._process, None, 0

    def _clear_away(self) -> None:
        """Wait until the kernel has ended what ran in the machine, and remove its cables."""
        with self._clearing:
            if self._remains is None:
                return
            self._remains.wait(60)
            for job in self._jobs:
                job.wait()
            self._network.detach(self.name, self._interfaces)
            self._remains = None

    def stop(self) -> None:
        """Shut down in order: the daemon hands over and ends, then the machine."""
        if self.running:
            self.stop_daemon()
            self.panic()

    def dispose(self) -> None:
        """Panic, and let go of the block device."""
        self.panic()
        if self._loop is not None:
            self._loop.detach()

    def plug(self, interface: str, *, up: bool) -> None:
        """Plug the cable of one interface in (``up``) or out."""
        self._network.plug(self.name, interface, up=up)

    def spawn(self, command: str, *, standard_input: bytes = b"") -> ProcessJob:
        """Start a shell command in the machine and return at once."""
        if not self.running:
            message = f"{self.name} is off; it can't run {command}"
            raise LabError(message)
        enter = ["nsenter", f"--target={self._init_pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--root"]
        enter += ["env", "--ignore-environment", "--chdir=/root", *_ENVIRONMENT]
        job = ProcessJob([*enter, "sh", "-c", command], standard_input)
        self._jobs = [other for other in self._jobs if not other.done] + [job]
        return job

    def run(self, command: str, *, check: bool = True, timeout_s: float = 60, standard_input: bytes = b"") -> Result:
        """Run a shell command in the machine to its end; with ``check`` a status other than 0 raises LabError."""
        result = self.spawn(command, standard_input=standard_input).wait(timeout_s)
        return checked(self.name, command, result, check=check)

    def put(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file of the machine; its folder is made when it is not there."""
        where = shlex.quote(path)
        content = data.encode() if isinstance(data, str) else data
        self.run(f'mkdir -p "$(dirname {where})" && cat > {where} && chmod {mode:o} {where}', standard_input=content)

    def get(self, path: str) -> bytes:
        """Read a file of the machine."""
        job = self.spawn(f"cat {shlex.quote(path)}")
        checked(self.name, f"cat {path}", job.wait(), check=True)
        return job.output_bytes

    def start_daemon(self) -> None:
        """Start ``twindiskd``; its log goes to /var/log/twindiskd.log. ``wait_ready`` waits until it answers."""
        self.run(f"setsid twindiskd >> {LOG} 2>&1 < /dev/null & echo $! > /run/twindiskd.pid")

    def wait_ready(self, within_s: float = 20) -> None:
        """Wait until the daemon answers its operator."""
        try:
            eventually(lambda: self.run("twindisk status", check=False).status == 0, "ready", within_s=within_s)
        except LabError as error:
            message = f"{self.name}: twindiskd does not answer:\n{self.run('twindisk status', check=False).output}\n{self.log()}"
            raise LabError(message) from error

    def stop_daemon(self, within_s: float = 20) -> None:
        """Ask the daemon to hand over and end, as a shutdown does; nothing when it does not run."""
        if self.run("kill -TERM $(cat /run/twindiskd.pid)", check=False).status == 0:
            gone = "! kill -0 $(cat /run/twindiskd.pid)"
            eventually(lambda: self.run(gone, check=False).status == 0, "twindiskd ended", within_s=within_s)

    def kill_daemon(self) -> None:
        """End the daemon at once (SIGKILL); the machine stays up, and its kernel resets the connections."""
        self.run("kill -KILL $(cat /run/twindiskd.pid)")

    def log(self) -> str:
        """Return what the daemon has logged since the machine was made."""
        path = self._directory / f"disk{LOG}"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def _write_names(self) -> None:
        (self._directory / "disk/etc/hostname").write_text(f"{self.name}\n", "utf-8")
        hosts = "127.0.0.1 localhost\n10.0.13.100 vm10\n10.0.13.101 vm11\n10.0.13.200 vm12\n10.0.13.201 vm13\n"
        (self._directory / "disk/etc/hosts").write_text(hosts, "utf-8")
