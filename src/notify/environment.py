"""The settings of a process, as its environment gives them: read, checked, and shown without what is secret.

A setting is `NOTIFY_*` in the environment, else its default. Secrets may lie in a file that `NOTIFY_<NAME>_FILE` names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from notify.config import PREFIX, SECRETS, Settings
from notify.errors import ConfigError

Source = Literal["default", "environment", "file"]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_URL_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):([^/?#]*)@")
_KEYWORD_PASSWORD = re.compile(r"(?i)\b((?:ssl)?password\s*=\s*)('(?:\\.|[^'\\])*'|[^\s&]+)")


class Described(msgspec.Struct, frozen=True):
    """One setting for people to read: secrets and passwords are already redacted in `value`."""

    name: str
    variable: str
    value: str | int | float | bool | None
    source: Source
    description: str


class _Field(msgspec.Struct, frozen=True):
    """A setting's name, what it means, and its type: with its bounds, and plain."""

    name: str
    description: str
    bounded: Any
    plain: Any
    bounds: Meta

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def file_variable(self) -> str | None:
        return self.variable + "_FILE" if self.name in SECRETS else None


def _field(name: str, hint: Any) -> _Field:
    kind, meta = get_args(hint)
    bounded = hint
    if get_origin(kind) in (Union, UnionType):  # of `X | None` only X is ever written in the environment
        bounded = get_args(kind)[0]
        kind, meta_inside = get_args(bounded) or (bounded, Meta())
        return _Field(name, meta.description, bounded, kind, meta_inside)
    return _Field(name, meta.description, bounded, kind, meta)


_FIELDS = tuple(_field(*item) for item in get_type_hints(Settings, include_extras=True).items())


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; an empty variable counts as unset.

    Raises ConfigError naming the variable, its value (unless secret) and what would be right.
    """
    environ = os.environ if environ is None else environ
    given = [field for field in _FIELDS if _source(field, environ) != "default"]
    values = {field.name: _convert(field, _read(field, environ)) for field in given}
    settings = Settings(**values)
    _check_together(settings)
    return settings


def unknown(environ: Mapping[str, str]) -> list[str]:
    """The `NOTIFY_*` variables that mean nothing, sorted: most often a typing error."""
    known = {field.variable for field in _FIELDS}
    known |= {field.file_variable for field in _FIELDS if field.file_variable}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def describe(settings: Settings, environ: Mapping[str, str]) -> list[Described]:
    """Every setting in the struct's order, with where its value came from."""
    return [
        Described(
            name=field.name,
            variable=field.variable,
            value=redact(field.name, getattr(settings, field.name)),
            source=_source(field, environ),
            description=field.description,
        )
        for field in _FIELDS
    ]


def redact(name: str, value: Any) -> Any:
    """The value as it may be shown: keys and secrets whole, and passwords inside URLs, as `***`."""
    if not isinstance(value, str):
        return value
    if name in SECRETS and name != "database_url":
        return "***"
    return _KEYWORD_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", value))


def _source(field: _Field, environ: Mapping[str, str]) -> Source:
    if field.file_variable and environ.get(field.file_variable):
        return "file"
    return "environment" if environ.get(field.variable) else "default"


def _read(field: _Field, environ: Mapping[str, str]) -> str:
    text = environ.get(field.variable, "")
    if _source(field, environ) != "file" or field.file_variable is None:
        return text
    if text:
        raise ConfigError(f"{field.variable} and {field.file_variable} are both set: set one of them")
    return _read_file(field.file_variable, environ[field.file_variable])


def _read_file(variable: str, path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable}={path!r} cannot be read: {error}") from error
    if not text:
        raise ConfigError(f"{variable}={path!r} is an empty file: it should hold the value")
    return text


def _convert(field: _Field, text: str) -> Any:
    if field.plain is bool:
        return _convert_bool(field, text)
    try:
        value = msgspec.convert(text, field.bounded, strict=False)
    except msgspec.ValidationError as error:
        raise _refused(field, text) from error
    if isinstance(value, float) and not abs(value) < float("inf"):  # nan and inf pass every bound
        raise _refused(field, text)
    return value


def _convert_bool(field: _Field, text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise _refused(field, text)


def _refused(field: _Field, text: str) -> ConfigError:
    shown = "***" if field.name in SECRETS else repr(text)
    return ConfigError(f"{field.variable}={shown} should be {_wanted(field)} ({field.description})")


def _wanted(field: _Field) -> str:
    if field.plain is bool:
        return "true or false"
    if get_origin(field.plain) is Literal:
        return "one of " + ", ".join(get_args(field.plain))
    kind = {int: "a whole number", float: "a number"}.get(field.plain, "a text")
    return " ".join([kind, *_bounds(field.bounds)])


def _bounds(meta: Meta) -> Iterator[str]:
    limits = (
        ("from", meta.ge),
        ("above", meta.gt),
        ("to", meta.le),
        ("of at least so many characters:", meta.min_length),
        ("matching", meta.pattern),
    )
    return (f"{word} {limit}" for word, limit in limits if limit is not None)


def _check_together(settings: Settings) -> None:
    if settings.pool_min > settings.pool_max:
        raise ConfigError(f"NOTIFY_POOL_MIN={settings.pool_min} should be at most NOTIFY_POOL_MAX={settings.pool_max}")
    if settings.send_seconds > settings.lease_seconds / 2:
        raise ConfigError(
            f"NOTIFY_SEND_SECONDS={settings.send_seconds:g} should be at most half of "
            f"NOTIFY_LEASE_SECONDS={settings.lease_seconds:g}, so that what was begun ends within its lease"
        )
    if not (settings.ticker_enabled or settings.jobs_enabled):
        raise ConfigError("NOTIFY_TICKER_ENABLED and NOTIFY_JOBS_ENABLED are both false: nothing would be sent")
