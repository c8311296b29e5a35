"""An initiator of the lab: a QEMU guest with a real kernel's iSCSI, multipath and file systems.

Rules
- Emulated (TCG), with a plain CPU: the C library's wide instructions are slow under emulation.
- ``maxcpus=2`` though it has one CPU: before 8.1 QEMU leaves a single CPU's memory barriers out, although its own device threads
  run beside it, and queues may stall for good. The clock then needs ``tsc=reliable``.
- Its root disk is thrown away at the end: ``get`` what is worth keeping.
"""

import contextlib
import shlex
import subprocess
import time
from pathlib import Path

from e2e.image.guest import GuestImage
from e2e.lab.channel import Channel, GuestJob
from e2e.lab.command import LabError, Result, checked
from e2e.lab.network import NAMESPACES, Network
from e2e.lab.process import start_process

BOOT_LIMIT_S = 90
_PORT_NAME = "e2e.control"
_KERNEL_WORDS = (
    "console=ttyS0 root=/dev/vda rw panic=-1 quiet loglevel=4 nokaslr mitigations=off nopti no_timer_check tsc=reliable"
    " cryptomgr.notests random.trust_cpu=on net.ifnames=0 audit=0 selinux=0 rcupdate.rcu_expedited=1"
)
_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+pclmulqdq,+rdrand"


class Guest:
    """One guest. ``address``: its own, with the bits of its network; ``directory``: where its files are."""

    def __init__(
        self,
        name: str,
        network: Network,
        address: str,
        mac: str,
        image: GuestImage,
        directory: Path,
        *,
        memory_mib: int = 768,
    ) -> None:
        self.name = name
        self._network = network
        self._address = address
        self._mac = mac
        self._image = image
        self._directory = directory
        self._memory_mib = memory_mib
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self.boot_s = 0.0  # how long the last boot took
        directory.mkdir(parents=True)

    @property
    def running(self) -> bool:
        """Whether the guest is up."""
        return self._channel is not None and not self._channel.closed

    @property
    def process_id(self) -> int:
        """The id of its QEMU; 0 when it is off."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Boot and wait until commands can be run."""
        if self._process is not None:
            message = f"{self.name} is up already"
            raise LabError(message)
        begun = time.monotonic()
        socket_path = self._directory / "control"
        socket_path.unlink(missing_ok=True)
        tap = self._network.add_tap(self.name)
        with (self._directory / "qemu.log").open("wb") as log:
            process = self._process = start_process(
                self._command(socket_path, tap),
                output=log,
                environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(self._directory)},
            )
        self._channel = Channel(socket_path)
        try:
            self._channel.connect(BOOT_LIMIT_S, lambda: process.poll() is None)
        except LabError as error:
            last_words = self.console()[-3000:] + (self._directory / "qemu.log").read_text("utf-8", "replace")
            self.stop()
            message = f"{self.name}: {error}\n{last_words}"
            raise LabError(message) from error
        self.boot_s = time.monotonic() - begun

    def stop(self) -> None:
        """Power off at once, as by the switch."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(30)
        if self._channel is not None:
            self._channel.close()
        self._process = self._channel = None
        self._network.remove_tap(self.name)

    def plug(self, interface: str = "eth0", *, up: bool) -> None:
        """Plug the guest's cable in (``up``) or out."""
        self._network.plug(self.name, interface, up=up)

    def spawn(self, command: str, *, standard_input: bytes = b"") -> GuestJob:
        """Start a shell command in the guest and return at once."""
        if self._channel is None:
            message = f"{self.name} is off; it can't run {command}"
            raise LabError(message)
        return self._channel.start(command, standard_input)

    def run(self, command: str, *, check: bool = True, timeout_s: float = 60, standard_input: bytes = b"") -> Result:
        """Run a shell command in the guest to its end; with ``check`` a status other than 0 raises LabError."""
        result = self.spawn(command, standard_input=standard_input).wait(timeout_s)
        return checked(self.name, command, result, check=check)

    def put(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file of the guest; its folder is made when it is not there."""
        where = shlex.quote(path)
        content = data.encode() if isinstance(data, str) else data
        self.run(f'mkdir -p "$(dirname {where})" && cat > {where} && chmod {mode:o} {where}', standard_input=content)

    def get(self, path: str) -> bytes:
        """Read a file of the guest."""
        job = self.spawn(f"cat {shlex.quote(path)}")
        checked(self.name, f"cat {path}", job.wait(120), check=True)
        return job.output_bytes

    def console(self) -> str:
        """Return what the guest's kernel wrote to its console."""
        with contextlib.suppress(FileNotFoundError):
            return (self._directory / "console.log").read_text("utf-8", "replace")
        return ""

    def _command(self, control: Path, tap: str) -> list[str]:
        words = f"{_KERNEL_WORDS} e2e.name={self.name} e2e.address={self._address}"
        switch = NAMESPACES / self._network.switch
        return [
            *("nsenter", f"--net={switch}", "qemu-system-x86_64", "-name", self.name),
            *("-accel", "tcg,thread=multi,tb-size=256", "-cpu", _CPU, "-smp", "1,maxcpus=2"),
            *("-M", "q35,usb=off,smbus=off,sata=off,hpet=on,dump-guest-core=off", "-m", str(self._memory_mib)),
            *("-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append", words),
            *("-serial", f"file:{self._directory / 'console.log'}"),
            *("-drive", f"file={self._image.root},format=raw,if=none,id=root,snapshot=on,cache=unsafe,aio=threads"),
            *("-device", "virtio-blk-pci,drive=root", "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=control,path={control},server=on,wait=off"),
            *("-device", f"virtserialport,chardev=control,name={_PORT_NAME}"),
            *("-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=net,mac={self._mac},romfile="),
        ]
