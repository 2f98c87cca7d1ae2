"""Webhooks: a POST to the recipient's URL, signed as standardwebhooks.com says; receivers can use its libraries.

The body and `webhook-id` are the same in every attempt; `webhook-timestamp` and `webhook-signature` are new in each.
No redirect, proxy or cookie is followed, used or kept, and no address that the guard refuses is reached.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import structlog
from aiohttp.abc import AbstractResolver
from standardwebhooks import Webhook
from yarl import URL

from notify.channels.addresses import Endpoint, check_secret, endpoint_of
from notify.channels.guard import Blocked, networks
from notify.channels.protocol import Message, Outcome, final
from notify.channels.webhook_answers import outcome_of, outcome_of_failure, place
from notify.channels.webhook_connections import Connections
from notify.config import Settings
from notify.errors import ConfigError, InvalidValue

_log = structlog.stdlib.get_logger("notify.channels.webhook")

_MOST_BODY = 1_024
# Once the status is known the attempt is decided; its text is worth no longer wait.
_BODY_SECONDS = 1.0
# Whoever sends ends the whole attempt then; the status has to be told before that.
_SPARE_SECONDS = 0.1
_MOST_CACHED = 1_024


class _Data(msgspec.Struct, frozen=True):
    id: int
    recipient: str
    batch_id: int
    title: str
    message: str
    data: dict[str, Any]
    priority: str
    reference: str | None
    scheduled_at: datetime


class _Event(msgspec.Struct, frozen=True):
    type: str
    timestamp: datetime
    data: _Data


# The same bytes for the same content, in whatever order the keys of its data come.
_ENCODER = msgspec.json.Encoder(order="deterministic")


class WebhookChannel:
    """The channel `webhook`. Made with the settings, of which ConfigError names the wrong one."""

    name = "webhook"
    description = "signed HTTP calls to the recipient's URL"
    disable_after_days: float | None = 5.0

    def __init__(self, settings: Settings, *, resolver: AbstractResolver | None = None) -> None:
        self.concurrency = settings.webhook_concurrency
        self._seconds = settings.send_seconds
        self._secrets = _secrets(settings)
        self._redirect = _redirect(settings)
        allowed = networks(settings.outside_allow)
        self._connections = Connections(allowed, settings.webhook_concurrency, resolver)
        self._fixed = {
            "Content-Type": "application/json",
            "User-Agent": f"notify/{version('notify-postgres')}",
            "Accept-Encoding": "identity",
        }

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    async def send(self, message: Message) -> Outcome:
        try:
            endpoint = endpoint_of(message.address)
            url = _url(endpoint.url)
        except InvalidValue as error:
            return final("bad-address", str(error))
        headers = dict(self._fixed)
        if self._redirect is not None:
            headers["notify-original-host"] = url.raw_host or ""
            url, endpoint = _url(self._redirect.url), self._redirect
        secrets = endpoint.secrets or self._secrets
        if not secrets:
            return final("no-secret", "the address has no secret, and NOTIFY_WEBHOOK_SECRET is not set")
        body = _body(message)
        headers.update(signed_headers(message.stable_id, body, secrets))
        return await self._call(url, headers, body)

    async def _call(self, url: URL, headers: Mapping[str, str], body: bytes) -> Outcome:
        answer: aiohttp.ClientResponse | None = None
        text = bytearray()
        ends = time.monotonic() + self._seconds - _SPARE_SECONDS
        try:
            # Whoever sends ends it when its time is over, so that each attempt has one timer and not two.
            async with await self._connections.post(url, headers, body) as answer:
                if answer.content.is_eof():
                    await _read(answer.content, text)
                else:
                    async with asyncio.timeout(min(_BODY_SECONDS, ends - time.monotonic())):
                        await _read(answer.content, text)
        except Blocked as error:
            _log.warning("webhook blocked", endpoint=place(url), address=error.address, kind=error.kind)
            return outcome_of_failure(error, url)
        except (aiohttp.ClientError, OSError) as error:
            if answer is None:
                return outcome_of_failure(error, url)
        assert answer is not None
        return outcome_of(answer.status, answer.reason or "", answer.headers, bytes(text), url)


def check_settings(settings: Settings) -> None:
    """Raise ConfigError, naming the variable, for a setting of webhooks that cannot be used."""
    _secrets(settings)
    _redirect(settings)
    networks(settings.outside_allow)


def signed_headers(stable_id: str, body: bytes, secrets: tuple[str, ...]) -> dict[str, str]:
    """The headers of Standard Webhooks for one attempt, by this machine's clock as receivers compare it with theirs.

    With two secrets there are two signatures, so that a receiver may go over from one to the other at any time.
    """
    now, text = datetime.now(UTC), body.decode()
    return {
        "webhook-id": stable_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(_signer(secret).sign(stable_id, now, text) for secret in secrets),
    }


def _body(message: Message) -> bytes:
    at = message.scheduled_at.astimezone(UTC)
    data = _Data(
        id=message.notification_id,
        recipient=message.recipient,
        batch_id=message.batch_id,
        title=message.title,
        message=message.message,
        data=dict(message.data),
        priority=message.priority,
        reference=message.reference,
        scheduled_at=at,
    )
    return _ENCODER.encode(_Event(message.type, at, data))


async def _read(content: aiohttp.StreamReader, text: bytearray) -> None:
    """The beginning of the body; leaving the answer closes a connection on which there is more."""
    while len(text) < _MOST_BODY and (part := await content.read(_MOST_BODY - len(text))):
        text += part


@lru_cache(_MOST_CACHED)
def _signer(secret: str) -> Webhook:
    return Webhook(secret)


@lru_cache(_MOST_CACHED)
def _url(text: str) -> URL:
    """Raises InvalidValue for what aiohttp would not call, or would take a password from."""
    try:
        url = URL(text)
        sound = bool(url.raw_host) and url.scheme in ("http", "https") and url.raw_user is None
    except ValueError:
        sound, url = False, URL()
    if not sound or url.raw_password is not None:
        raise InvalidValue("a webhook address must be an http or https URL with a host name", field="addresses")
    return url


def _secrets(settings: Settings) -> tuple[str, ...]:
    secrets = tuple((settings.webhook_secret or "").split())
    try:
        for secret in secrets:
            check_secret(secret)
    except InvalidValue as error:
        raise ConfigError(f"NOTIFY_WEBHOOK_SECRET=*** cannot be used: {error}") from None
    if len(secrets) > 2:
        raise ConfigError("NOTIFY_WEBHOOK_SECRET=*** should be one secret, or two with a space between")
    return secrets


def _redirect(settings: Settings) -> Endpoint | None:
    """Where all calls go in staging. Without secrets of its own, so that the service's sign."""
    if settings.redirect_webhook is None:
        return None
    try:
        endpoint = endpoint_of(settings.redirect_webhook)
        _url(endpoint.url)
    except InvalidValue as error:
        raise ConfigError(f"NOTIFY_REDIRECT_WEBHOOK cannot be used: {error}") from None
    return endpoint
