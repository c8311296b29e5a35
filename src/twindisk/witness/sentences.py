"""The sentences of :mod:`twindisk.sentences` that are about witnesses."""

from __future__ import annotations

from enum import StrEnum

from twindisk.errors import WitnessProblem

WITNESS_SENTENCES: dict[StrEnum, tuple[int, str, str]] = {
    WitnessProblem.UNREACHABLE: (
        502,
        "Witness not reached",
        "The witness cannot be reached ({detail}). Check the URL, the network and the mount, then try again.",
    ),
    WitnessProblem.DENIED: (
        502,
        "Witness denies access",
        "The witness does not let this node in ({detail}). Check the account in witness.conf and what it may do: read, write and delete.",
    ),
    WitnessProblem.NO_ACCOUNT: (
        409,
        "No account for the witness",
        "This node has no account for {detail}. Write S3Key= and S3Secret= into witness.conf, readable by its owner alone.",
    ),
    WitnessProblem.TLS: (
        409,
        "Bad CA file",
        "The CaFile of witness.conf cannot be used ({detail}).",
    ),
    WitnessProblem.NOT_EXCLUSIVE: (
        409,
        "Not a witness",
        "This store cannot be a witness: {detail}. Both nodes would win. Use one that knows conditional writes.",
    ),
    WitnessProblem.NO_LINKS: (
        409,
        "Not a witness",
        "This share cannot be a witness: it does not take hard links ({detail}). Use NFS, or another filesystem on the server.",
    ),
    WitnessProblem.BAD_ANSWER: (
        502,
        "Witness's answer not understood",
        "The witness answered something unexpected ({detail}). Check that the URL names an etcd v3 server or an S3 bucket.",
    ),
    WitnessProblem.BAD_VALUE: (
        502,
        "Unknown content at the witness",
        "A key of the witness holds {detail}. Use a prefix or directory that nothing else uses, and the same version on both nodes.",
    ),
    WitnessProblem.ANOTHER: (
        409,
        "Another witness",
        "At {detail} is another witness than the one that was configured: a share that is not mounted, or a store made anew. Add the check again if it is right.",
    ),
}
