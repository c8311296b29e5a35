"""The tutorial on one machine: two nodes on loopback addresses, one mirrored VDisk, one node killed under load.

``place`` says where a node lives, ``node`` runs its daemon and its commands, ``pair`` sets the pair up with the
tutorial's commands, ``workload`` is the initiator, ``copies`` compares the nodes' files, ``story`` is the demo itself
and ``hold`` the pair that stays. The integration tests stand on the same parts.
"""
