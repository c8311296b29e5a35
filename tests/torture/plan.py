"""What goes wrong in a round, and when: drawn from a seed, before the round begins. Pure."""

import random
from dataclasses import dataclass, replace

WEIGHTS = {
    "kill": 4,
    "kill-both": 1,
    "power": 2,
    "freeze": 3,
    "freeze-both": 1,
    "cut": 5,
    "cut-one-way": 5,
    "flap": 1,
    "client-cut": 2,
    "client-cut-one-way": 1,
    "isolate": 1,
    "switch": 3,
    "reset": 1,
    "stop": 2,
    "stop-both": 1,
    "fencing": 3,
    "witness": 3,
}
FENCED = frozenset({"kill", "power", "freeze", "cut", "cut-one-way", "isolate"})
"""Faults that lead to fencing, or to the witness; some come together with fence commands or a witness that go wrong."""
CUTS = frozenset({"cut", "cut-one-way", "flap"})
"""Faults that may be of one of two cables between the nodes."""
_CABLES = (0, 0, 1, 1, None)
WITNESS = ("gone", "empty")
"""How a node's view of the witness goes wrong: its directory is not there, or is an empty one, as of a share that is not mounted."""
_CHECKS_OF = {"fencing": "fence", "witness": "witness"}
_BMC = {"fails": 4, "hangs": 1, "denies": 1, "stalls": 1, "slow": 2}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``at_s`` after the round's beginning, of so much duration; ``node`` 0 or 1; ``way``: of a cut; ``detail``: how fence commands
    against the node, or its view of the witness, go meanwhile, or the role of a switch; empty: as they should."""

    at_s: float
    kind: str
    node: int
    lasts_s: float
    way: int = 0
    detail: str = ""
    both: bool = False
    """Whether it goes so for the other node too."""
    cable: int | None = None
    """Which of the cables between the nodes a cut is of; None: of both."""

    def __str__(self) -> str:
        words = [self.kind, f"vm{10 + self.node}", f"for {self.lasts_s:.2f} s"]
        if self.cable is not None:
            words.append(("of the mirror cable", "of the spare cable")[self.cable])
        if "one-way" in self.kind:
            words.append("(outwards)" if self.way else "(inwards)")
        if self.detail and self.kind != "switch":
            what = "witness of" if self.detail in WITNESS else "fence commands against"
            words.append(f"{what} both:" if self.both else f"{what} it:")
        return " ".join([*words, self.detail]).strip()


@dataclass(frozen=True, slots=True)
class Site:
    """How a run's pair is set up: the type of its mirror checks (``fence``, ``witness`` or ``manual``), lines of ndrecv.conf, and how many
    connections there are over each of two cables; 0: there is one cable, and one connection."""

    checks: str
    ndrecv: str
    connections: int

    def __str__(self) -> str:
        cables = f"two cables, {self.connections} connections over each" if self.connections else "one cable"
        return f"mirror checks of type {self.checks}, {cables}, {self.ndrecv.replace(chr(10), ' ').strip()}"


def draw_site(seed: str) -> Site:
    """Draw a run's site."""
    chance = random.Random(seed)
    settings = {
        # The longer one is longer than the initiators wait for an answer: they repeat what is held.
        "FenceLimitMs": chance.choice([1500, 1500, 9000]),
        "HeadStartMs": chance.choice([500, 500, 0]),
        "SilenceMs": chance.choice([2000, 2000, 800, 3000]),
        "LeaseMs": chance.choice([2000, 2000, 800]),
    }
    checks = chance.choices(["fence", "witness", "manual"], [4, 2, 1])[0]
    ndrecv = "".join(f"{key}={value}\n" for key, value in settings.items())
    return Site(checks, ndrecv, chance.choice([0, 1, 2]))


def draw(seed: str, checks: str = "fence", cables: int = 1) -> tuple[float, list[Fault]]:
    """Draw a round of a pair with that type of mirror checks and so many cables: how long it lasts in seconds, and its faults in order."""
    chance = random.Random(seed)
    span_s = chance.uniform(8.0, 25.0)
    possible = sorted(kind for kind in WEIGHTS if kind not in ("fencing", "witness") or _CHECKS_OF[kind] == checks)
    kinds = chance.sample(possible, chance.randint(3, len(possible)))
    weights = [WEIGHTS[kind] for kind in kinds]
    count = chance.randint(3, 16)
    faults = [_draw_fault(chance, chance.choices(kinds, weights)[0], span_s, checks) for _ in range(count)]
    if cables > 1:
        faults = [replace(fault, cable=chance.choice(_CABLES)) if fault.kind in CUTS else fault for fault in faults]
    return span_s, sorted(faults, key=lambda fault: fault.at_s)


def _draw_trouble(chance: random.Random, checks: str) -> str:
    if checks == "witness":
        return chance.choice(WITNESS)
    word = chance.choices(list(_BMC), list(_BMC.values()))[0]
    return f"slow {chance.uniform(0.1, 1.2):.2f}" if word == "slow" else word


def _draw_fault(chance: random.Random, kind: str, span_s: float, checks: str) -> Fault:
    # Short ones, shorter than the silence that counts as a loss, around it, and long ones.
    low_s, high_s = chance.choice([(0.05, 1.0), (1.0, 3.0), (3.0, 8.0), (3.0, 8.0)])
    lasts_s = chance.uniform(low_s, high_s)
    detail = ""
    if kind in _CHECKS_OF:
        lasts_s = chance.uniform(3.0, 12.0)
        detail = _draw_trouble(chance, checks)
    elif kind in FENCED and checks in _CHECKS_OF.values() and chance.random() < 0.4:
        lasts_s = chance.uniform(2.5, 8.0)  # else nothing is fenced
        detail = _draw_trouble(chance, checks)
    elif kind == "switch":
        detail = chance.choice(["master", "slave"])
    both = chance.random() < 0.5
    return Fault(chance.uniform(0, span_s), kind, chance.randrange(2), lasts_s, chance.randrange(2), detail, both)
