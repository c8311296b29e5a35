"""A real systemd as PID 1 over a root: systemd-nspawn, with a network of its own and no service manager on this machine.

Rules
- The container has its own network namespace with loopback alone, and only those devices that it was given.
- It lives in a process namespace of its own (nspawn leaves its systemd behind when it is killed) and in control groups of its own:
  its end, and the end of the test process, is the end of all its processes.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.lab.process import start_process

BOOT_LIMIT_S = 60.0
_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")


class Container:
    """A container that has booted. ``leader``: the process id of its systemd, seen from here."""

    def __init__(self, leader: int, root: Path) -> None:
        self.leader = leader
        self.root = root

    def run(self, command: str, *, check: bool = True, limit_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell command in all of the container's namespaces."""
        into = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        environment = [
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ]
        return _finished([*into, *environment, "sh", "-c", command], check=check, limit_s=limit_s)

    def run_beside(self, *command: str, limit_s: float = 60) -> str:
        """Run a program of this machine in the container's network; it must succeed."""
        return _finished(["nsenter", f"--target={self.leader}", "--net", *command], check=True, limit_s=limit_s).stdout

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run(f"systemctl show --property={name} --value {unit}").stdout.strip()

    def journal(self, unit: str) -> str:
        """Return what a unit has logged."""
        return self.run(f"journalctl --no-pager --output=short --unit={unit}").stdout


@contextmanager
def booted(root: Path, name: str, devices: tuple[Path, ...]) -> Iterator[Container]:
    """Boot a root and end it with the block."""
    groups = [Path(place) / name for place in _HIERARCHIES if (Path(place) / "cgroup.procs").exists()]
    for group in groups:
        group.mkdir(exist_ok=True)
    enter = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
    nspawn = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "systemd-nspawn",
        "--quiet",
        f"--directory={root}",
        f"--machine={name}",
        "--register=no",
        "--keep-unit",
    ]
    nspawn += ["--settings=no", "--link-journal=no", "--private-network", "--console=pipe", "--boot"]
    nspawn += [f"--bind={device}" for device in devices]
    with tempfile.TemporaryFile() as console:
        spawned = start_process(["sh", "-c", f'{enter}exec "$@"', "sh", *nspawn], output=console)
        try:
            container = Container(_leader(spawned), root)
            _wait_for_boot(container, console.fileno())
            yield container
        finally:
            spawned.kill()
            spawned.wait(30)
            for group in groups:
                _remove(group)


def _leader(spawned: subprocess.Popen[bytes]) -> int:
    """Return the first process of the container, once nspawn has made it."""
    until = time.monotonic() + BOOT_LIMIT_S
    while time.monotonic() < until and spawned.poll() is None:
        for child in _descendants(spawned.pid):
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return child
        time.sleep(0.05)
    raise AssertionError(f"systemd-nspawn started no systemd; exit status {spawned.poll()}")


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in _descendants(child)]


def _wait_for_boot(container: Container, console: int) -> None:
    until = time.monotonic() + BOOT_LIMIT_S
    state = ""
    while time.monotonic() < until:
        state = container.run("systemctl is-system-running", check=False).stdout.strip()
        if state in {"running", "degraded"}:
            return
        time.sleep(0.2)
    words = Path(f"/proc/self/fd/{console}").read_bytes().decode("utf-8", "replace")
    raise AssertionError(f"systemd did not come up: {state}\n{words[-4000:]}")


def _remove(group: Path) -> None:
    """Remove a control group and those below it, which are empty as soon as the kernel has reaped their processes."""
    until = time.monotonic() + 10
    while group.exists() and time.monotonic() < until:
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            _try_remove(folder)
        if _try_remove(group):
            return
        time.sleep(0.1)


def _try_remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _finished(argv: list[str], *, check: bool, limit_s: float) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False)
    if check:
        assert done.returncode == 0, f"{argv[-1]}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done
