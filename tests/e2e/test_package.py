"""The Debian packages on a clean Debian, and the service under a real systemd."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.image.node import our_packages
from e2e.lab.command import eventually
from e2e.lab.loop_device import LoopDevice
from e2e.package.container import Container, booted
from e2e.package.root import clean_root, overlay, root_with_agents, run_in

pytestmark = pytest.mark.timeout(600)

COMMANDS = {"twindisk", "twindiskd", "ndconfig", "qsync", "qmirrorcheck", "spconfig", "bdconfig", "vdconfig"}
OF_THE_PRODUCT = COMMANDS - {"twindisk", "twindiskd"}
INSTALL = "apt-get install --yes --no-install-recommends /opt/*.deb"
IQN = "iqn.2006-06.com.quadstor.vdisk.M1"
PEER = "127.0.0.9"
INSTALLING = Path(__file__).parents[2] / "docs" / "operating" / "installing.md"


@pytest.fixture(scope="module")
def packages() -> tuple[Path, ...]:
    found = our_packages()
    assert [path.name.partition("_")[0] for path in found] == ["twindisk", "twindisk-quadstor-paths"], "run: make deb"
    return found


@pytest.fixture(scope="module")
def installed(packages: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean Debian on which apt has installed our packages and what they ask for."""
    with overlay(tmp_path_factory.mktemp("clean"), clean_root()) as root:
        before = run_in(root, "dpkg-query --show --showformat='${Package} '").stdout.split()
        assert not {"python3", "xfsprogs"} & set(before), "no clean Debian: what the package needs is there already"
        for package in packages:
            shutil.copy(package, root / "opt")
        run_in(root, INSTALL)
        yield root


def test_apt_installs_what_the_packages_need(installed: Path) -> None:
    states = run_in(installed, "dpkg-query --show --showformat='${Package} ${db:Status-Abbrev}\\n'").stdout
    status = dict(line.split(maxsplit=1) for line in states.splitlines())
    assert {status[name].strip() for name in ("twindisk", "twindisk-quadstor-paths", "python3", "xfsprogs")} == {"ii"}
    assert run_in(installed, "dpkg --verify twindisk twindisk-quadstor-paths; dpkg --audit").stdout == ""


def test_every_command_says_how_it_is_used_by_both_its_paths(installed: Path) -> None:
    listed = run_in(installed, "dpkg --listfiles twindisk twindisk-quadstor-paths").stdout.split()
    assert {Path(path).name for path in listed if path.startswith("/usr/bin/")} == COMMANDS
    assert {Path(path).name for path in listed if path.startswith("/quadstor/bin/")} == OF_THE_PRODUCT
    every = " ".join(sorted(COMMANDS))
    told = run_in(installed, f"for name in {every}; do echo $name; $name --help || exit; done").stdout.lower()
    assert told.count("usage: ") >= len(COMMANDS)
    same = 'test "$($name --help)" = "$(/quadstor/bin/$name --help)" || exit'
    run_in(installed, f"for name in {' '.join(sorted(OF_THE_PRODUCT))}; do {same}; done")
    assert run_in(installed, "ls /quadstor/etc").stdout.split() == ["ndrecv.conf", "quadstor.conf"]


def test_commands_do_not_heed_the_callers_python(installed: Path) -> None:
    (installed / "tmp" / "click.py").write_text("raise SystemExit('not ours')")
    assert "version" in run_in(installed, "cd /tmp && PYTHONPATH=/tmp PYTHONHOME=/tmp twindisk --version").stdout


def test_every_command_and_file_has_a_clean_manual_page(installed: Path) -> None:
    found = run_in(installed, f"man --where {' '.join(sorted(COMMANDS))} ndrecv.conf quadstor.conf").stdout.split()
    assert len(found) == len(COMMANDS) + 2
    pages = run_in(installed, "dpkg --listfiles twindisk | grep ^/usr/share/man/.*gz").stdout.split()
    assert set(found) < set(pages)
    unpacked = (
        "mkdir /tmp/pages && for page in {}; do zcat $page >/tmp/pages/$(basename $page .gz); done; cd /tmp/pages"
    )
    run_in(installed, unpacked.format(" ".join(pages)))
    assert run_in(installed, "cd /tmp/pages && mandoc -Tlint *", check=False).stdout == ""
    shown = run_in(installed, "cd /tmp/pages && for page in *; do man --warnings --local-file $page; done")
    assert shown.stderr == ""
    assert shown.stdout.count("SEE ALSO") == len(pages)


def test_lintian_has_nothing_to_say(packages: tuple[Path, ...]) -> None:
    command = ["lintian", "--allow-root", "--tag-display-limit=0", "--display-level=>=warning", *map(str, packages)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_no_file_names_a_folder_of_the_machine_that_built_it(installed: Path) -> None:
    done = run_in(
        installed, f"grep -rlF {Path(__file__).parents[2]}/ /usr/lib/twindisk /usr/share/doc/twindisk", check=False
    )
    native = [path for path in done.stdout.split() if not path.endswith("_native.abi3.so")]
    assert native == []


def test_removal_leaves_the_data_and_purge_only_that(installed: Path) -> None:
    state = installed / "var" / "lib" / "twindisk"
    (state / "precious").write_text("data")
    (installed / "etc" / "twindisk" / "secret").write_text("shared")
    run_in(installed, "apt-get remove --yes twindisk")
    assert (installed / "etc" / "twindisk" / "ndrecv.conf").exists()
    run_in(installed, "apt-get purge --yes twindisk")
    assert (state / "precious").read_text() == "data"
    assert [path.name for path in (installed / "etc" / "twindisk").iterdir()] == ["secret"]
    left = run_in(
        installed, "ls -d /usr/lib/twindisk /quadstor /usr/bin/qsync /lib/systemd/system/twindiskd.service", check=False
    )
    assert left.stdout == ""


@dataclass(frozen=True)
class Service:
    """A Debian that has booted with our packages, fence agents and an initiator's programs; the service has not been started."""

    container: Container
    device: Path

    def run(self, command: str) -> str:
        return self.container.run(command).stdout

    def property(self, name: str) -> str:
        return self.container.property("twindiskd", name)

    def drop_in(self, unit: str, text: str) -> None:
        """Add settings to a unit, for as long as the container runs or until they are replaced."""
        place = f"/run/systemd/system/{unit}.d"
        self.run(f"mkdir -p {place} && printf '%s\\n' '{text}' >{place}/test.conf && systemctl daemon-reload")

    def state(self) -> str:
        return self.property("ActiveState")

    def main_pid(self) -> int:
        """Return the daemon's process id, as the container counts."""
        return int(self.property("MainPID"))

    def wait_for_another(self, pid: int) -> None:
        """Wait until another daemon serves than that one."""
        eventually(
            lambda: self.state() == "active" and self.main_pid() not in {0, pid},
            "another daemon is active",
            within_s=30,
        )

    def mounts_of_daemon(self) -> str:
        return self.run(f"cat /proc/{self.main_pid()}/mounts")

    def check_pattern(self) -> None:
        """Read what the first test wrote, over iSCSI."""
        self.container.run_beside("qemu-io", "-f", "raw", "-c", "read -P 0x5a 0 1M", f"iscsi://127.0.0.1/{IQN}/0")


@pytest.fixture(scope="module")
def service(packages: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("booted")
    clean = clean_root()
    device = LoopDevice(place / "disk", 4 << 30)
    try:
        with overlay(place / "root", root_with_agents(clean), clean) as root:
            for package in packages:
                shutil.copy(package, root / "opt")
            run_in(root, INSTALL)
            with booted(root, "twindisk-package", (device.path,)) as container:
                yield Service(container, device.path)
    finally:
        device.detach()


def test_the_unit_is_well_formed_and_ordered_without_a_cycle(service: Service) -> None:
    before = service.property("Before").split()
    assert {"remote-fs-pre.target", "open-iscsi.service", "iscsid.service"} <= set(before)
    # As on a machine where all of these are in use.
    beside = "twindiskd.service local-fs-pre.target remote-fs-pre.target iscsid.service open-iscsi.service multipathd.service"
    service.drop_in("multi-user.target", f"[Unit]\nWants={beside}")
    check = "systemd-analyze verify twindiskd.service default.target"
    done = service.container.run(check)
    assert done.stdout + done.stderr == ""
    service.drop_in("twindiskd.service", "[Unit]\nBefore=multipathd.service")
    assert "ordering cycle" in service.container.run(check).stderr, "a cycle would not be seen"
    service.drop_in("twindiskd.service", "")
    service.drop_in("multi-user.target", "")


def test_the_exposure_is_what_the_documentation_says(service: Service) -> None:
    said = service.run("systemd-analyze security --no-pager twindiskd.service | tail -1")
    figure = re.search(r"(\d+\.\d)", said)
    stated = re.search(r"exposure level of \*\*(\d+\.\d)\*\*", INSTALLING.read_text("utf-8"))
    assert figure
    assert stated
    assert figure[1] == stated[1]


def test_installing_does_not_start_a_node_that_nobody_configured(service: Service) -> None:
    assert service.state() == "inactive"
    assert service.property("UnitFileState") == "disabled"


def test_a_device_is_formatted_mounted_and_served_by_the_service(service: Service) -> None:
    service.run("echo RecvAddr=127.0.0.1 >>/etc/twindisk/ndrecv.conf; twindisk node secret")
    service.run("systemctl enable --now twindiskd")
    assert service.state() == "active"
    service.run(
        f"spconfig -a -g HAPOOL && bdconfig -a -d {service.device} -g HAPOOL --yes && vdconfig -a -v M1 -s 1 -g HAPOOL"
    )
    service.container.run_beside(
        "qemu-io", "-f", "raw", "-c", "write -P 0x5a 0 1M", "-c", "flush", f"iscsi://127.0.0.1/{IQN}/0"
    )
    service.check_pattern()
    assert f"{service.device} /var/lib/twindisk/disks/" in service.mounts_of_daemon()
    assert " xfs " not in service.run("cat /proc/mounts")


def test_the_journal_knows_the_level_of_each_line(service: Service) -> None:
    service.run("! ndconfig --nonsense 2>/dev/null")
    lines = service.run("journalctl --no-pager --output=cat --unit=twindiskd --priority=info")
    assert "node is up" in lines
    assert "<6>" not in lines
    assert "node is up" not in service.run("journalctl --no-pager --output=cat --unit=twindiskd --priority=warning")


def test_a_fence_agent_runs_within_the_service(service: Service) -> None:
    service.run(f"qmirrorcheck -a -t fence -r {PEER} -v 'fence_ipmilan -o metadata'")
    told = service.run(f"twindisk check test {PEER} --run --yes")
    assert "fenced" in told


def test_the_service_cannot_change_the_system(service: Service) -> None:
    forbidden = (
        "touch /usr/bin/mine",
        "touch /etc/twindisk/mine",
        "touch ~root/mine",
        "unshare --net true",
        "date --set=12:00",
    )
    service.run(f"qmirrorcheck -x -r {PEER}")
    for command in forbidden:
        service.run(f"qmirrorcheck -a -t fence -r {PEER} -v '{command}'")
        assert service.container.run(f"twindisk check test {PEER} --run --yes", check=False).returncode != 0, command
        service.run(f"qmirrorcheck -x -r {PEER}")


def test_a_reload_keeps_the_daemon_and_refuses_nonsense(service: Service) -> None:
    pid = service.main_pid()
    service.run("echo PoolThreshold=20 >>/etc/twindisk/quadstor.conf; systemctl reload twindiskd")
    service.run("echo PoolThreshold=none >>/etc/twindisk/quadstor.conf; ! systemctl reload twindiskd")
    service.run("sed -i /^PoolThreshold/d /etc/twindisk/quadstor.conf; systemctl reload twindiskd")
    assert service.main_pid() == pid


def test_a_killed_daemon_is_started_again(service: Service) -> None:
    old = service.main_pid()
    service.run(f"kill -KILL {old}")
    service.wait_for_another(old)
    assert service.property("NRestarts") == "1"
    service.check_pattern()


def test_a_daemon_that_shows_no_life_is_ended_and_started_again(service: Service) -> None:
    service.drop_in("twindiskd.service", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s")
    service.run("systemctl restart twindiskd")
    old = service.main_pid()
    service.run("sleep 5")
    assert service.main_pid() == old, "a daemon that lives was ended"
    service.run(f"kill -STOP {old}")
    service.wait_for_another(old)
    assert "Watchdog timeout" in service.container.journal("twindiskd")
    service.drop_in("twindiskd.service", "")
    service.run("systemctl restart twindiskd")


def test_an_upgrade_restarts_the_service_and_keeps_the_settings(service: Service) -> None:
    old = service.main_pid()
    service.run(f"{INSTALL} --reinstall")
    assert service.state() == "active"
    assert service.main_pid() != old
    assert "RecvAddr=127.0.0.1" in service.run("cat /etc/twindisk/ndrecv.conf")
    service.check_pattern()


def test_a_stop_is_clean_and_frees_the_disks(service: Service) -> None:
    service.run("systemctl stop twindiskd")
    assert service.state() == "inactive"
    assert service.property("Result") == "success"
    assert service.property("ExecMainStatus") == "0"
    assert str(service.device) not in Path("/proc/mounts").read_text()
    exclusively = f"import os; os.close(os.open('{service.device}', os.O_RDWR | os.O_EXCL))"
    service.run(f'python3 -c "{exclusively}"')


def test_sigterm_ends_a_daemon_for_good(service: Service) -> None:
    service.run("systemctl start twindiskd")
    service.run(f"kill -{signal.SIGTERM.value} {service.main_pid()}; sleep 4")
    assert service.state() == "inactive"


def test_removing_the_package_stops_the_service_and_leaves_the_data(service: Service) -> None:
    service.run("systemctl start twindiskd")
    pid = service.main_pid()
    service.run("apt-get purge --yes twindisk twindisk-quadstor-paths")
    assert service.container.run(f"test -d /proc/{pid}", check=False).returncode != 0
    assert service.property("LoadState") == "not-found"
    assert service.run("ls /etc/systemd/system/multi-user.target.wants").split().count("twindiskd.service") == 0
    assert (service.container.root / "etc" / "twindisk" / "secret").exists()
    service.run("ls /var/lib/twindisk/disks/*")
    service.run(f"{INSTALL} && systemctl start twindiskd")
    service.check_pattern()
