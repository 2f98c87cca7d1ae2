"""Every setting, in one struct: `NOTIFY_*` in the environment, else the default.

A field's name in upper case after `NOTIFY_` is its variable; its description is in its type, where
`notify config` and the documentation read it. Secrets may lie in a file that `NOTIFY_<NAME>_FILE` names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from notify.errors import ConfigError

PREFIX = "NOTIFY_"
SECRETS = frozenset({"database_url", "api_key", "token_secret"})
Source = Literal["default", "environment", "file"]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_URL_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):([^/?#]*)@")
_KEYWORD_PASSWORD = re.compile(r"(?i)\b((?:ssl)?password\s*=\s*)('(?:\\.|[^'\\])*'|[^\s&]+)")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told from outside. Times are seconds unless their description says otherwise."""

    # where the data is
    database_url: Annotated[
        str | None, Meta(description="libpq URL or keywords of the database; unset: an embedded server")
    ] = None
    data_dir: Annotated[
        str, Meta(min_length=1, description="directory of the embedded server and of generated secrets")
    ] = ".notify"

    # serving, and being found
    host: Annotated[str, Meta(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port to listen on; 0: any free one")] = 8000
    url: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(description="where commands find the server; unset: the host and port set, else those of notify up"),
    ] = None
    allowed_origins: Annotated[
        str, Meta(description="comma-separated Origins that browsers may connect from; empty: same host only")
    ] = ""
    max_body_bytes: Annotated[int, Meta(ge=1_024, description="largest request body, in bytes")] = 10_000_000
    http_read_timeout: Annotated[
        float, Meta(gt=0, description="longest wait for a request's head, and then for its body; beyond: 408")
    ] = 30.0
    rate_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="requests a minute for each key or recipient in a process; beyond: 429; 0: no limit",
        ),
    ] = 0
    metrics_public: Annotated[bool, Meta(description="serve /metrics without a key")] = False

    # who may
    api_key: Annotated[
        str | None, Meta(description="a fixed admin key, which should have 16 characters or more; unset: none")
    ] = None
    token_secret: Annotated[
        Annotated[str, Meta(min_length=32)] | None,
        Meta(description="secret that signs recipient tokens; unset: made and stored"),
    ] = None
    token_ttl: Annotated[int, Meta(ge=1, le=31_536_000, description="life of a recipient token")] = 3600
    unknown_recipients: Annotated[
        Literal["skip", "create", "reject"],
        Meta(description="what schedule does with an id that is not registered"),
    ] = "skip"

    # logs
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        Meta(description="least level that is logged"),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="form of a log line; auto: console on a terminal"),
    ] = "auto"

    # connections to the database
    pool_min: Annotated[int, Meta(ge=0, le=1_000, description="connections that each process keeps open")] = 1
    pool_max: Annotated[int, Meta(ge=1, le=1_000, description="connections that each process may open")] = 10
    gateway_pool_max: Annotated[
        int,
        Meta(ge=1, le=1_000, description="connections that an API process may open besides, for sockets and probes"),
    ] = 4
    statement_timeout: Annotated[float, Meta(ge=0, description="longest statement; 0: no limit")] = 30.0
    lock_timeout: Annotated[
        float, Meta(ge=0, description="longest wait for a lock, in the API never above 1; 0: no limit")
    ] = 5.0
    connect_timeout: Annotated[int, Meta(ge=2, le=300, description="longest wait for a connection")] = 5
    tcp_user_timeout: Annotated[
        float, Meta(ge=1, description="a connection whose peer acknowledges nothing for so long is closed")
    ] = 10.0
    idle_in_transaction_timeout: Annotated[
        float, Meta(ge=0, description="longest pause inside one of our transactions; 0: no limit")
    ] = 30.0

    # the two alarm clocks
    tick_seconds: Annotated[float, Meta(gt=0, le=60, description="longest sleep of the ticker")] = 0.25
    drain_chunk: Annotated[int, Meta(ge=1, le=10_000, description="rows that one drain statement sends")] = 1000
    sweep_seconds: Annotated[
        float, Meta(ge=1, le=60, description="pause between sweeps; jobs are planned a minute ahead")
    ] = 10.0
    ticker_enabled: Annotated[bool, Meta(description="run the ticker; off: jobs alone send")] = True
    jobs_enabled: Annotated[bool, Meta(description="run the dispatch jobs; off: the ticker alone sends")] = True
    job_poll_seconds: Annotated[
        float, Meta(gt=0, le=60, description="pause between looks for jobs when no signal comes")
    ] = 0.25

    # how long things are kept
    retention_days: Annotated[int, Meta(ge=1, description="days that sent notifications are kept")] = 90
    cancelled_retention_days: Annotated[int, Meta(ge=0, description="days that cancelled notifications are kept")] = 30
    idempotency_hours: Annotated[
        int, Meta(ge=24, description="hours that the answer to an Idempotency-Key is kept")
    ] = 24

    # the gateway
    gateway_poll_seconds: Annotated[float, Meta(gt=0, le=60, description="pause between looks for missed signals")] = (
        1.0
    )
    replay_limit: Annotated[int, Meta(ge=1, description="notifications replayed to one connection; beyond: reset")] = (
        10_000
    )
    send_queue_frames: Annotated[
        int,
        Meta(ge=1, description="frames that may wait for a connection; beyond it is sent rows, page by page"),
    ] = 1000
    send_queue_bytes: Annotated[
        int, Meta(ge=1_024, description="bytes, about, that may wait for a connection; beyond it is sent rows")
    ] = 1_048_576
    send_timeout: Annotated[
        float, Meta(gt=0, description="longest write to a connection; beyond: 4408; an HTTP answer is cut off")
    ] = 10.0
    ws_ping_seconds: Annotated[float, Meta(gt=0, description="pause between pings and tick frames")] = 25.0
    ws_pong_seconds: Annotated[float, Meta(gt=0, description="longest wait for a pong; beyond: 1011")] = 8.0
    ws_auth_timeout: Annotated[float, Meta(gt=0, description="longest wait for the first message")] = 10.0
    max_unauthenticated: Annotated[
        int, Meta(ge=1, description="sockets in a process that wait to say a credential; beyond: 4429")
    ] = 1000
    max_unauthenticated_per_address: Annotated[
        int, Meta(ge=1, description="those of one address, of IPv6 one /64; beyond: 4429")
    ] = 100
    max_connections_per_recipient: Annotated[
        int, Meta(ge=1, description="sockets of one recipient in a process; beyond: 4429")
    ] = 20
    max_connections_per_key: Annotated[
        int, Meta(ge=1, description="sockets opened with one API key in a process; beyond: 4429")
    ] = 5000
    max_connections: Annotated[int, Meta(ge=1, description="sockets in a process; beyond: 4429")] = 20_000


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
    if not (settings.ticker_enabled or settings.jobs_enabled):
        raise ConfigError("NOTIFY_TICKER_ENABLED and NOTIFY_JOBS_ENABLED are both false: nothing would be sent")
