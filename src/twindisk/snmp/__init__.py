"""SNMP notifications: what a node tells its operators, to every destination of ``TrapAddr``.

``settings`` reads the configuration; ``notification``, ``ber``, ``usm`` and ``message`` are pure and make the bytes;
``health`` says when a destination's trouble is worth a line of log; ``delivery`` sends; ``traps`` is what the node holds.
The MIB modules lie in ``mibs``.
"""
