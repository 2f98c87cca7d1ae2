"""Logs: one line an event on stderr, JSON or for people, and what libraries log goes the same way.

Secrets never get out: keys, tokens and passwords are recognised by their form wherever they stand in an event,
and the process's own secrets by their value.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from notify.config import SECRETS, Settings
from notify.environment import redact

# At these levels the libraries tell what matters; below, uvicorn and Procrastinate log every start and job.
_LIBRARIES = {
    "uvicorn": logging.WARNING,
    "procrastinate": logging.WARNING,
    "litestar": logging.WARNING,
    "psycopg": logging.ERROR,
    "httpx": logging.WARNING,
    "websockets": logging.WARNING,
    "asyncio": logging.WARNING,
}
# What one looks for first stands first in each line.
_FIRST = ("timestamp", "level", "event")
_LEAST_SECRET = 6
# What Procrastinate's own tasks raise after it was closed; by name, as most commands do without its import.
_CLOSED = "AppNotOpen"
_API_KEY = re.compile(r"\bntf_[A-Za-z0-9_-]{8,}")
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def configure(settings: Settings) -> None:
    """Send everything that is logged in this process to stderr, in the form that the settings ask for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(settings))
    root = logging.getLogger()
    root.handlers = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(level)
    for name, quiet in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(level, quiet) if level > logging.DEBUG else logging.INFO)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def scrubber(settings: Settings) -> Callable[[str], str]:
    """Replaces whatever is secret in a text by `***`."""
    values = (getattr(settings, name) for name in SECRETS)
    # A key so short that words contain it would only make the log unreadable.
    own = sorted({value for value in values if value and len(value) >= _LEAST_SECRET}, key=len, reverse=True)

    def scrub(text: str) -> str:
        for value in own:
            text = text.replace(value, "***")
        text = _TOKEN.sub("***", _API_KEY.sub("ntf_***", text))
        return str(redact("", text))

    return scrub


def _shared() -> list[Processor]:
    """What every event goes through, ours and the libraries'."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(settings: Settings) -> logging.Formatter:
    colors = sys.stderr.isatty()
    console = settings.log_format == "console" or (settings.log_format == "auto" and colors)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=colors) if console else structlog.processors.JSONRenderer(default=str)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _plain_uvicorn,
            _plain_outage,
            structlog.processors.format_exc_info,
            _without_secrets(scrubber(settings)),
            renderer,
        ],
    )


def _plain_uvicorn(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What the end of the process cancels is no error, and uvicorn's tracebacks of it, one as text, tell nothing."""
    event.pop("color_message", None)
    text = str(event["event"]).rstrip()
    last = text.rpartition("\n")[2]
    as_text = text.startswith("Traceback ") and last.startswith("asyncio.exceptions.CancelledError")
    if as_text or _is_cancellation(event.get("exc_info")):
        event.pop("exc_info", None)
        what = "stopping" if as_text else "a request"
        event.update(event=f"{what} was cut short by the end of the process", level="warning")
    return event


def _plain_outage(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A library's traceback of a database that is away, or of a job whose end is not noted as the process ends before,
    tells no more than its error."""
    exc_info = event.get("exc_info")
    error = exc_info[1] if isinstance(exc_info, tuple) else None
    while error is not None and not (isinstance(error, psycopg.OperationalError) or type(error).__name__ == _CLOSED):
        error = error.__cause__
    if error is not None:
        event.pop("exc_info")
        event["error"] = f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0]
    return event


def _is_cancellation(exc_info: Any) -> bool:
    return isinstance(exc_info, tuple) and isinstance(exc_info[1], asyncio.CancelledError)


def _without_secrets(scrub: Callable[[str], str]) -> Processor:
    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return scrub(value)
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [clean(item) for item in value]
        return value if isinstance(value, bool | int | float) or value is None else scrub(str(value))

    def process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        first = [key for key in _FIRST if key in event]
        return {key: clean(event[key]) for key in dict.fromkeys([*first, *event])}

    return process
