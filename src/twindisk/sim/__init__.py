"""The simulator: two nodes' real brains and mirror cores in one thread, on fake time, network and disks, from one seed.

``python -m twindisk.sim --seeds 1000`` (``make sim SEEDS=1000``) runs seeds and checks the promises of docs/architecture.md;
``--seed 7`` runs one and prints its trace. Nothing here reads a clock or draws a number that is not of the seed.
"""
