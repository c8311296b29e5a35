"""Sentences for people about a node's configuration files and its state: the rows of :mod:`twindisk.sentences` for them."""

from enum import StrEnum
from typing import Final

from twindisk.errors import ConfigProblem, StateProblem

CONFIG_SENTENCES: Final[dict[StrEnum, tuple[int, str, str]]] = {
    ConfigProblem.NO_DIRECTORY: (
        500,
        "No configuration directory",
        "There is no configuration directory {file}. Make it, or let TWINDISK_ETC name the one you mean.",
    ),
    ConfigProblem.UNREADABLE: (
        500,
        "Configuration unreadable",
        "{file} cannot be read: {value}. Make it a readable text file.",
    ),
    ConfigProblem.NOT_KEY_VALUE: (
        500,
        "Not KEY=VALUE",
        "{file} line {line}: '{value}' is not KEY=VALUE. Correct the line or begin it with #.",
    ),
    ConfigProblem.BAD_ADDRESS: (
        500,
        "Bad address",
        "{file} line {line}: {key}={value} is no IP address. Give an address of this node.",
    ),
    ConfigProblem.BAD_REDIRECT: (
        500,
        "Bad redirect",
        "{file} line {line}: {key}={value} makes no sense. Give two of this node's portals, the second not redirected, or 'permanently' after them.",
    ),
    ConfigProblem.BAD_PATH: (
        500,
        "Bad path",
        "{file} line {line}: {key}={value} is no path. Give three IP addresses with spaces between: the peer's RecvAddr, this node's address of the path, the peer's address of the path.",
    ),
    ConfigProblem.PATH_ADDRESS: (
        500,
        "Bad address of a path",
        "{file} line {line}: {key}={value}: {address} does not name one host. Give addresses of interfaces, none that is unspecified, multicast, IPv6 link-local or IPv4-mapped.",
    ),
    ConfigProblem.PATH_FAMILIES: (
        500,
        "Path of two families",
        "{file} line {line}: {key}={value} leads from IPv4 to IPv6 or back. Give two addresses of one family for both ends.",
    ),
    ConfigProblem.PATH_ADDRESS_TWICE: (
        500,
        "Address of two things",
        "{file} line {line}: {key}={value}: {address} stands for something else already. This node's RecvAddr, the peers' RecvAddr, this node's further addresses and those of each peer must all differ. Correct the line.",
    ),
    ConfigProblem.PATH_TWICE: (
        500,
        "Path listed twice",
        "{file} line {line}: {key}={value} is listed twice. Remove one of the two.",
    ),
    ConfigProblem.TOO_MANY_PATHS: (
        500,
        "Too many paths",
        "{file} line {line}: {key}={value} is one too many: peer {peer} can have {most} further paths. Remove one.",
    ),
    ConfigProblem.BAD_NUMBER: (
        500,
        "Bad number",
        "{file} line {line}: {key}={value} is no number in its range. Correct the line.",
    ),
    ConfigProblem.BAD_CHOICE: (
        500,
        "Bad value",
        "{file} line {line}: {key}={value} is not one of {choices}. Correct the line.",
    ),
    ConfigProblem.BAD_HOST: (
        500,
        "Bad host",
        "{file} line {line}: {key}={value} is neither a host's name nor an IP address, with or without :port. Correct the line.",
    ),
    ConfigProblem.BAD_ENGINE_ID: (
        500,
        "Bad engine id",
        "{file} line {line}: {key}={value} is no SNMP engine id: 10 to 64 hex digits, neither all 0 nor all f. Correct or remove the line.",
    ),
    ConfigProblem.NEEDS_KEY: (
        500,
        "Key missing",
        "{file}: {key}={value} needs {needs} as well. Add that line.",
    ),
    ConfigProblem.SHORT_PASSPHRASE: (
        500,
        "Passphrase missing or short",
        "{file}, the file of {key}, is missing or holds fewer than {least} characters. Put a longer passphrase there and run: chmod 600 {file}",
    ),
    ConfigProblem.SHORT_HASH: (
        500,
        "Hash too short for the cipher",
        "{file}: {key}={value} needs a longer hash than TrapAuth={auth}. Set TrapAuth=SHA-256 or longer.",
    ),
    ConfigProblem.NO_SECRET: (
        500,
        "Empty secret",
        "{file} is empty. Put the pair's secret there, the same on both nodes, or remove the file.",
    ),
    ConfigProblem.SECRET_EXPOSED: (
        500,
        "Secret exposed",
        "Others than its owner may read {file}. Run: chmod 600 {file}",
    ),
    StateProblem.LOCKED: (
        409,
        "Already running",
        "Another twindiskd (pid {pid}) runs on {directory}. Stop it first, or give this node another StateDir.",
    ),
    StateProblem.UNUSABLE: (500, "State unusable", "The state directory {directory} cannot be used: {detail}."),
    StateProblem.NEWER_SCHEMA: (
        500,
        "Newer state",
        "The state in {directory} was written by a newer version (schema {version}). Run that version; nothing was changed.",
    ),
    StateProblem.CORRUPT: (
        500,
        "State corrupt",
        "state.db in {directory} is corrupt ({detail}). Restore it from a backup; the VDisks' data is not touched.",
    ),
}
