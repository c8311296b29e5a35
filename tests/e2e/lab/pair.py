"""The lab's two nodes as a pair: configured with the commands of the tutorial, with one mirrored VDisk, M1 in pool HAPOOL."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.bmc import Bmc, Login
from e2e.lab.command import eventually
from e2e.lab.lab import BMC_ADDRESSES, Lab
from e2e.lab.machine import Machine

MIRROR_ADDRESSES = {"vm10": "10.0.13.150", "vm11": "10.0.13.151"}
LOGIN = Login("fence", "thunder")
_HTTPS = 443


@dataclass(frozen=True)
class Standing:
    """What ``qsync -l`` tells of M1 on one node, e.g. Master, Enabled."""

    role: str
    status: str


@contextmanager
def bmcs(lab: Lab, directory: Path) -> Iterator[dict[str, Bmc]]:
    """Give each node a BMC, by the node's name, whose switch is the node's power."""
    with ExitStack() as running:
        made = {}
        for node in (lab.vm10, lab.vm11):
            bmc = Bmc(node.name, LOGIN, power_off=node.cut_power, power_on=node.start)
            listening = lab.network.listen(BMC_ADDRESSES[node.name], _HTTPS)
            made[node.name] = running.enter_context(bmc.start(listening, directory / node.name))
        yield made
        for bmc in made.values():
            print(f"the BMC of {bmc.name} was asked:", *bmc.asked, sep="\n  ")  # for whoever has to explain a failure


def fence_check(peer: Machine) -> str:
    """Return qmirrorcheck's words for fencing this node through its BMC."""
    login = f"-l {LOGIN.user} -p {LOGIN.password}"
    agent = f"/usr/sbin/fence_redfish -a {BMC_ADDRESSES[peer.name]} {login} --ssl-insecure -o off"
    return f"-t fence -r {MIRROR_ADDRESSES[peer.name]} -v '{agent}'"


def manual_check(peer: Machine) -> str:
    """Return qmirrorcheck's words for leaving the decision to the operator."""
    return f"-t manual -r {MIRROR_ADDRESSES[peer.name]}"


class Pair:
    """vm10 and vm11, M1 mirrored between them; vm10 begins as Master. ``checks``: qmirrorcheck's words, by the node they are for."""

    def __init__(self, lab: Lab, checks: dict[str, str], *, size_gib: float) -> None:
        self.nodes = (lab.vm10, lab.vm11)
        lab.vm10.run("twindisk node secret")
        lab.vm11.put("/etc/twindisk/secret", lab.vm10.get("/etc/twindisk/secret"), mode=0o600)
        for node in self.nodes:
            node.put("/etc/twindisk/ndrecv.conf", f"RecvAddr={MIRROR_ADDRESSES[node.name]}\n")
            node.start_daemon()
        for node, peer in (self.nodes, self.nodes[::-1]):
            node.wait_ready()
            node.run(f"qmirrorcheck -a {checks[peer.name]}")
            node.run(f"spconfig -a -g HAPOOL && bdconfig -a -d {node.block_device} -g HAPOOL --yes")
        lab.vm10.run(f"vdconfig -a -v M1 -s {size_gib} -g HAPOOL")
        lab.vm10.run(f"qsync -s M1 -d M1 -r {MIRROR_ADDRESSES['vm11']} -g HAPOOL")
        self.wait_for({"vm10": Standing("Master", "Enabled"), "vm11": Standing("Slave", "Enabled")})

    def wait_for(self, standings: dict[str, Standing], *, within_s: float = 90) -> None:
        """Wait until ``qsync -l`` tells this of the nodes, by their names."""
        by_name = {node.name: node for node in self.nodes}

        def all_stand() -> bool:
            return all(standing(by_name[name]) == wanted for name, wanted in standings.items())

        eventually(all_stand, f"{standings}", within_s=within_s, every_s=0.5)


def standing(node: Machine) -> Standing | None:
    """Return what ``qsync -l`` tells of M1; None: nothing."""
    for line in node.run("qsync -l", check=False).output.splitlines():
        words = line.split(None, 5)
        if words[:1] == ["M1"]:
            return Standing(words[4], words[5].strip())
    return None
