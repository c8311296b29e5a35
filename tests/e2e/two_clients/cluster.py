"""OCFS2 with the kernel's own cluster stack (o2cb) on guests that have no service to set it up."""

from collections.abc import Sequence

from e2e.lab.guest import Guest

NAME = "shared"
DEAD_THRESHOLD = 31
"""What O2CB_HEARTBEAT_THRESHOLD sets: a guest that cannot write its heartbeat for (31 - 1) x 2 = 60 s is dead to the other and resets itself.
Must outlast the longest pause of the disk: silence, head start, fencing and the initiator's change of path."""

_REGISTER = f"""
set -e
modprobe -a configfs ocfs2_stackglue ocfs2_nodemanager ocfs2_dlm ocfs2_stack_o2cb ocfs2
mount -t configfs configfs /sys/kernel/config
echo o2cb > /sys/fs/ocfs2/cluster_stack
o2cb register-cluster {NAME}
echo {DEAD_THRESHOLD} > /sys/kernel/config/cluster/{NAME}/heartbeat/dead_threshold
"""


def configuration(addresses: dict[str, str]) -> str:
    """Return cluster.conf for these nodes: host names and the addresses where they hear each other."""
    lines = ["cluster:", "\theartbeat_mode = local", f"\tnode_count = {len(addresses)}", f"\tname = {NAME}", ""]
    for number, (name, address) in enumerate(addresses.items()):
        lines += ["node:", f"\tnumber = {number}", f"\tcluster = {NAME}", "\tip_port = 7777"]
        lines += [f"\tip_address = {address}", f"\tname = {name}", ""]
    return "\n".join(lines)


def register(guest: Guest, addresses: dict[str, str]) -> None:
    """Bring the cluster stack up."""
    guest.put("/etc/ocfs2/cluster.conf", configuration(addresses))
    guest.run(_REGISTER)


def make_file_system(guest: Guest, device: str) -> None:
    """Make a file system for two on a device."""
    stack = f"--cluster-stack=o2cb --cluster-name={NAME} --force"
    guest.run(f"mkfs.ocfs2 -q -x -N 2 -J size=16M -b 4K -C 4K -L {NAME} {stack} {device}", timeout_s=120)


def mount(guests: Sequence[Guest], device: str, directory: str) -> None:
    """Mount it on all guests at once: each first listens for the others' heartbeats for some seconds."""
    jobs = [guest.spawn(f"mkdir -p {directory} && mount -t ocfs2 {device} {directory}") for guest in guests]
    for guest, job in zip(guests, jobs, strict=True):
        result = job.wait(120)
        assert result.status == 0, f"{guest.name}: {result.output}\n{guest.run('dmesg | tail -20').output}"
