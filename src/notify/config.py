"""Every setting, in one struct, with its default. environment.py reads and shows them.

A field's name in upper case after `NOTIFY_` is its variable; its description is in its type, where
`notify config` and the documentation read it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PREFIX = "NOTIFY_"
SECRETS = frozenset(
    {
        "database_url",
        "api_key",
        "token_secret",
        "smtp_url",
        "webhook_secret",
        "redirect_webhook",  # such URLs have a secret in their path
        "redirect_apprise",
    }
)
"""The settings that may lie in a file, which `NOTIFY_<NAME>_FILE` names, and are never shown."""


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
        float,
        Meta(ge=0, description="longest pause inside one of our transactions, in the API never above 5; 0: no limit"),
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
    ] = 0.5

    # outside channels
    public_url: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(description="where recipients reach this service, for links to unsubscribe; unset: mail has none"),
    ] = None
    lease_seconds: Annotated[
        float, Meta(ge=20, le=3_600, description="time a worker has to send what it took; beyond, others may take it")
    ] = 60.0
    send_seconds: Annotated[
        float, Meta(gt=0, le=3_600, description="longest attempt of a delivery, below the lease; beyond: it failed")
    ] = 15.0
    smtp_url: Annotated[
        Annotated[str, Meta(pattern="^smtps?://")] | None,
        Meta(description="mail server, as smtp://USER:PASSWORD@HOST:587 or smtps://HOST; unset: no channel email"),
    ] = None
    smtp_from: Annotated[
        str | None, Meta(description="sender of mail, as 'Lessons <lessons@example.org>'; needed with the mail server")
    ] = None
    smtp_tls: Annotated[
        Literal["require", "try", "off"],
        Meta(description="STARTTLS for smtp:// URLs; require: no mail without it, but to this machine"),
    ] = "require"
    smtp_connections: Annotated[int, Meta(ge=1, le=100, description="connections to the mail server")] = 4
    webhook_secret: Annotated[
        str | None,
        Meta(
            description="whsec_… that signs webhooks whose address has none; two, with a space, while one is replaced"
        ),
    ] = None
    webhook_concurrency: Annotated[int, Meta(ge=1, le=1_000, description="webhook calls under way at once")] = 64
    outside_allow: Annotated[
        str,
        Meta(
            description="comma-separated networks, as 10.1.0.0/16, that webhooks and Apprise may reach though private"
        ),
    ] = ""
    apprise_channels: Annotated[
        str, Meta(description="comma-separated names of channels that Apprise serves, as apprise,sms; empty: none")
    ] = "apprise"
    apprise_schemes: Annotated[
        str, Meta(description="comma-separated schemes of Apprise URLs that are allowed, as slack,tgram,ntfys")
    ] = "discord,gchat,mailgun,ntfys,pbul,pover,sendgrid,signals,slack,sns,tgram,twilio,vonage,whatsapp,workflows"
    redirect_email: Annotated[
        str | None, Meta(description="staging: the one address that all mail goes to; unset: to the recipients")
    ] = None
    redirect_webhook: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(description="staging: the one URL that all webhooks go to; unset: to the endpoints"),
    ] = None
    redirect_apprise: Annotated[
        str | None, Meta(description="staging: the one Apprise URL that all of them go to; unset: to the recipients'")
    ] = None
    breaker_failures: Annotated[
        int,
        Meta(
            ge=1,
            description="failures of a whole channel in a row, or addresses that do not answer, after which it rests",
        ),
    ] = 10
    breaker_seconds: Annotated[
        float, Meta(gt=0, description="its first rest, which doubles while one try fails after another, to 5 minutes")
    ] = 5.0

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
