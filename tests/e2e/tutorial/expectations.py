"""What each dialogue of the tutorial must print. A dialogue may hold more than what is asserted; it never may hold less."""

from __future__ import annotations

import re
from collections.abc import Callable

from e2e.tutorial.stage import Expect, Outputs

_TABLE = "%-18s %-18s %-16s %-14s %-8s %-16s"
_HEAD = _TABLE % ("Local", "Remote", "Pool", "Dest Addr", "Role", "Status")
_PATH = re.compile(r"[|`]- \d+:0:0:0 +(sd[a-z]+) +\d+:\d+ +(active|failed) +(\w+) +running")


def _roles(*rows: tuple[str, str, str]) -> Callable[[Outputs], None]:
    """``qsync -l`` of M1, one command per row: peer's address, role, status."""

    def holds(outputs: Outputs) -> None:
        assert len(outputs) == len(rows)
        for lines, (address, role, status) in zip(outputs, rows, strict=True):
            expected = _TABLE % ("M1", "M1", "HAPOOL", address, role, status)
            assert [line.rstrip() for line in lines] == [_HEAD.rstrip(), expected.rstrip()]

    return holds


def _addresses(outputs: Outputs) -> None:
    for own, other, addresses, route in (
        ("10", "11", outputs[0], outputs[1]),
        ("11", "10", outputs[2], outputs[3]),
    ):
        text = "\n".join(addresses)
        assert f"10.0.13.1{'00' if own == '10' else '01'}/24" in text
        assert f"10.0.13.15{own[1]}" in text
        assert re.search(rf"10\.0\.13\.15{other[1]} (via \S+ )?dev eth1", route[0]), route


def _secret(outputs: Outputs) -> None:
    assert "Made /etc/twindisk/secret" in outputs[0][0]


def _fencing_tested(outputs: Outputs) -> None:
    assert [lines[-1] for lines in outputs] == [
        "Success: Powered OFF",
        "Success: Powered ON",
        "Success: Powered OFF",
        "Success: Powered ON",
    ]


def _ndconfig(outputs: Outputs) -> None:
    for address, lines in zip(("10.0.13.150", "10.0.13.151"), outputs, strict=True):
        facts = (("Node Type", "Mirror Recv"), ("Recv Address", address), ("Node Status", "Recv Inited"))
        assert list(lines) == [f"{key:>18}: {value}" for key, value in facts]


def _mirror_checks(outputs: Outputs) -> None:
    for added, listed, peer, board in (
        (outputs[0], outputs[1], "10.0.13.151", "10.0.13.111"),
        (outputs[2], outputs[3], "10.0.13.150", "10.0.13.110"),
    ):
        assert added == ()
        assert listed[0].rstrip() == f"{'Mirror Ipaddr':<18} {'Type':<12} Value"
        assert listed[1].startswith(f"{peer:<18} {'fence':<12} /usr/sbin/fence_redfish -a {board} ")


def _pools(outputs: Outputs) -> None:
    head, *rows = outputs[4]
    assert head.split() == ["Name", "Disks", "VDisks", "Status"]
    assert ["HAPOOL", "1", "0"] in [row.split()[:3] for row in rows]


def _vdisk(outputs: Outputs) -> None:
    _, row = outputs[2]
    name, pool, serial, size = row.split()[:4]
    assert (name, pool, size) == ("M1", "HAPOOL", "100")
    assert re.fullmatch(r"6e[0-9a-f]{30}", serial)


def _reloaded(outputs: Outputs) -> None:
    assert all("10.0.13.33" in "\n".join(lines) for lines in outputs)


def _mibs(outputs: Outputs) -> None:
    assert {"/srv/mibs/QUADSTOR-REG.mib", "/srv/mibs/QUADSTOR.mib"} <= set(outputs[0])


def _trap_test(outputs: Outputs) -> None:
    assert "10.0.13.33" in "\n".join(outputs[0])
    _notification("\n".join(outputs[1]), "information(1)", "Test notification from node vm11")


def _notification(text: str, severity: str, message: str) -> None:
    """Hold what snmptrapd printed against the tutorial's form of a notification."""
    assert re.search(r"vm11|10\.0\.13\.101", text), text
    assert re.search(r"sysUpTimeInstance = Timeticks: \(\d+\)", text), text
    assert "SNMPv2-MIB::snmpTrapOID.0 = OID: QUADSTOR-TRAPS-MIB::quadstorNotification" in text
    assert re.search(
        rf"QUADSTOR-TRAPS-MIB::notifyType = INTEGER: {re.escape(severity)}\s+"
        rf"QUADSTOR-TRAPS-MIB::notifyMessage = STRING: {message}",
        text,
    ), text


def _login(outputs: Outputs) -> None:
    for portal in ("10.0.13.100", "10.0.13.101"):
        login = f"[iface: default, target: iqn.2006-06.com.quadstor.vdisk.M1, portal: {portal},3260]"
        assert f"Login to {login} successful." in outputs[0]


def _paths(*states: tuple[str, str]) -> Callable[[Outputs], None]:
    """``multipath -ll`` of one map with one round-robin group."""

    def holds(outputs: Outputs) -> None:
        (lines,) = outputs
        assert len(lines) == 3 + len(states), lines
        assert re.fullmatch(r"mpatha \(36e[0-9a-f]{30}\) dm-\d+ QUADSTOR,VDISK", lines[0]), lines
        assert lines[1].startswith("size=100G ")
        assert len([line for line in lines if "policy='round-robin 0'" in line]) == 1
        found = [(path[2], path[3]) for line in lines if (path := _PATH.search(line))]
        assert sorted(found) == sorted(states), lines

    return holds


def _volume(outputs: Outputs) -> None:
    physical, group, volume, filesystem, mounted = outputs
    assert '  Physical volume "/dev/mapper/mpatha" successfully created.' in physical
    assert '  Volume group "vgtest" successfully created' in group
    assert '  Logical volume "testvol" created.' in volume
    assert re.search(r"Discarding device blocks: +done", "\n".join(filesystem))
    assert filesystem[-1].startswith("Writing superblocks and filesystem accounting information")
    assert mounted == ()


def _takeover_log(outputs: Outputs) -> None:
    assert set(outputs[0]) == {
        "peer takeover, continuing with write command",
        "VDisk M1 switching over to master role",
    }


def _trap_received(outputs: Outputs) -> None:
    _notification("\n".join(outputs[0]), "warning(2)", "VDisk M1 switching over to master role")


def _dd(outputs: Outputs) -> None:
    assert outputs[0][:2] == ("600+0 records in", "600+0 records out")
    assert outputs[0][2].startswith("629145600 bytes")


def _written_alone(outputs: Outputs) -> None:
    assert outputs[0][:2] == ("400+0 records in", "400+0 records out")


def _read_back(outputs: Outputs) -> None:
    assert any("successful." in line for line in outputs[1])
    assert outputs[2] == ('  1 logical volume(s) in volume group "vgtest" now active',)
    assert outputs[4] == ("1: OK", "2: OK")


def _nothing(outputs: Outputs) -> None:
    assert outputs


_ALONE = ("10.0.13.150", "Master", "Disabled")

EXPECTATIONS: dict[str, Expect] = {
    "addresses": Expect(_addresses),
    "secret": Expect(_secret),
    "fencing-tested": Expect(_fencing_tested),
    "ndconfig": Expect(_ndconfig),
    "mirror-checks": Expect(_mirror_checks),
    "pools": Expect(_pools),
    "vdisk": Expect(_vdisk),
    "roles-at-first": Expect(
        _roles(("10.0.13.151", "Master", "Enabled"), ("10.0.13.150", "Slave", "Enabled")), within_s=10
    ),
    "reloaded": Expect(_reloaded),
    "mibs": Expect(_mibs),
    "trap-test": Expect(_trap_test, within_s=10),
    "multipathd": Expect(_nothing),
    "login": Expect(_login),
    "both-paths": Expect(_paths(("active", "ready"), ("active", "ready")), within_s=60),
    "volume": Expect(_volume),
    "takeover-log": Expect(_takeover_log, within_s=60),
    "roles-alone": Expect(_roles(_ALONE), within_s=10),
    "trap-received": Expect(_trap_received, within_s=10),
    "dd": Expect(_dd, limit_s=300),
    "one-path-faulty": Expect(_paths(("failed", "faulty"), ("active", "ready")), within_s=60),
    "written-alone": Expect(_written_alone, limit_s=300),
    "resyncing": Expect(_roles(("10.0.13.151", "Slave", "Resyncing")), within_s=30),
    "enabled-again": Expect(
        _roles(("10.0.13.151", "Slave", "Enabled"), ("10.0.13.150", "Master", "Enabled")), within_s=120
    ),
    "both-paths-again": Expect(_paths(("active", "ready"), ("active", "ready")), within_s=90),
    "logged-out": Expect(_nothing),
    "read-through-vm10": Expect(_read_back, limit_s=300),
    "read-through-vm11": Expect(_read_back, limit_s=300),
}
