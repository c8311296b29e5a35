"""Secrets are hidden from logs, and only a certain fence agent is asked for its state."""

import pytest

from twindisk.node.fence_text import output_without_secrets, status_command, without_secrets


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (
            "fence_redfish -a 10.0.13.110 -l admin -p geheim --ssl-insecure -o off",
            "fence_redfish -a 10.0.13.110 -l admin -p *** --ssl-insecure -o off",
        ),
        ("fence_ipmilan -P -a 10.0.0.1 -l a -pgeheim -o off", "fence_ipmilan -P -a 10.0.0.1 -l a -p*** -o off"),
        ("fence_x --password=geheim --action=off", "fence_x --password=*** --action=off"),
        ("fence_x --passwd 'two words' -o off", "fence_x --passwd *** -o off"),
        ('fence_x --password="a\\"b c" -o off', "fence_x --password=*** -o off"),
        (
            "fence_apc_snmp --snmp-auth-prot=SHA -p geheim -P other -o off",
            "fence_apc_snmp --snmp-auth-prot=SHA -p *** -P *** -o off",
        ),
        ("IPMI_PASSWORD=geheim ipmitool -E chassis power off", "IPMI_PASSWORD=*** ipmitool -E chassis power off"),
        ("curl -X POST https://root:geheim@10.0.0.1/off", "curl -X POST https://root:***@10.0.0.1/off"),
        ("curl -u 'root:geheim' https://10.0.0.1/off", "curl -u 'root:***' https://10.0.0.1/off"),
        ("fence_pve --api-token geheim --action off;reboot", "fence_pve --api-token *** --action off;reboot"),
        ("fence_xvm -H vm10 -o off", "fence_xvm -H vm10 -o off"),
        ("fence_x -S /etc/twindisk/bmc.password -o off", "fence_x -S /etc/twindisk/bmc.password -o off"),
    ],
)
def test_passwords_are_hidden_and_nothing_else(command: str, shown: str) -> None:
    assert without_secrets(command) == shown


def test_an_agent_that_prints_its_password_does_not_leak_it() -> None:
    output = "login with root and geheim failed at port 22"
    assert output_without_secrets(output, "fence_x -p 'geheim' -o off") == "login with root and *** failed at port 22"
    assert output_without_secrets(output, "ssh -p 22 vm10 poweroff") == output


@pytest.mark.parametrize(
    ("command", "question"),
    [
        ("fence_xvm -H vm10 -o off", "fence_xvm -H vm10 -o status"),
        ("/usr/sbin/fence_redfish -a 10.0.0.1 --action=off", "/usr/sbin/fence_redfish -a 10.0.0.1 --action=status"),
        ("LANG=C fence_x --action 'off' -n 1", "LANG=C fence_x --action status -n 1"),
        ("fence_x -ooff", "fence_x -ostatus"),
        ("fence_x -o reboot", "fence_x -o status"),
        # An agent without an action reboots, a script takes no questions, and a line of several commands is nobody's agent.
        ("fence_x -a 10.0.0.1", None),
        ("/usr/local/sbin/power-off -o off", None),
        ("echo fence_x -o off", None),
        ("fence_x -o off && fence_y -o off", None),
        ("fence_x -n 1 -o off -o off", None),
        ("fence_x -n $(poweroff-peer) -o off", None),
        ("fence_x --plug=-o off", None),
        ("fence_x -n '-o off'", None),
        ("fence_x -n 'a -o off b'", None),
        ("fence_x -n 'a -o off", None),
    ],
)
def test_only_a_certain_agent_is_asked_for_its_state(command: str, question: str | None) -> None:
    assert status_command(command) == question
