"""The node's log: JSON lines in the state directory, and the same for people on standard error.

Every entry is an event name with fields; ``twindiskd.log`` rotates by size so that it can never fill the disk. When standard
error is the system's journal, lines tell it their level (sd-daemon(3)) and leave out the time, which it knows.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

LOG_FILE = "twindiskd.log"
_FILE_BYTES = 8 << 20
_FILES_KEPT = 4
_JOURNAL_LEVELS = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}

Log = FilteringBoundLogger


def open_log(directory: Path, *, node: str, level: int = logging.INFO) -> Log:
    """Start logging to the directory and to standard error; return the node's logger."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    to_file = logging.handlers.RotatingFileHandler(
        directory / LOG_FILE, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8"
    )
    to_file.setFormatter(_formatter(shared, [structlog.processors.JSONRenderer(default=str)]))
    to_people = logging.StreamHandler(sys.stderr)
    to_people.setFormatter(_formatter(shared, [_journal_line if writes_to_journal(2, os.environ) else _people_line]))
    root = logging.getLogger()
    root.handlers = [to_file, to_people]
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("httpx", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    logger: Log = structlog.get_logger("twindisk").bind(node=node)
    return logger


def _formatter(shared: list[Processor], last: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def writes_to_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Return whether what is written to an open file goes to the journal: its device and inode are JOURNAL_STREAM."""
    try:
        facts = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"


def _people_line(_logger: object, _method: str, entry: EventDict) -> str:
    """Render ``time level [node] event key=value ...``."""
    time = str(entry.pop("timestamp", ""))[11:23]
    level = str(entry.pop("level", "info")).upper()
    node = entry.pop("node", "-")
    text, trace = _event_text(entry)
    line = f"{time} {level:<7} [{node}] {text}"
    return line if trace is None else f"{line}\n{trace}"


def _journal_line(_logger: object, _method: str, entry: EventDict) -> str:
    """Render ``<level>event key=value ...``; the journal takes lines apart, so each of them has the level."""
    entry.pop("timestamp", None)
    entry.pop("node", None)
    level = _JOURNAL_LEVELS.get(str(entry.pop("level", "info")).upper(), 6)
    text, trace = _event_text(entry)
    lines = (text if trace is None else f"{text}\n{trace}").splitlines()
    return "\n".join(f"<{level}>{line}" for line in lines)


def _event_text(entry: EventDict) -> tuple[str, str | None]:
    """Return ``event key=value ...`` and the traceback, if there is one."""
    event = entry.pop("event", "")
    trace = entry.pop("exception", None)
    fields = " ".join(f"{key}={value}" for key, value in entry.items() if value is not None)
    return f"{event}" + (f"  {fields}" if fields else ""), trace
