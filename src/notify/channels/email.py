"""The channel `email`: mail over SMTP, by connections that are kept.

`mime` makes the mail, `smtp_pool` hands it over. Of whatever was sent twice, as an answer was lost, both have the same
Message-ID.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from notify.channels.addresses import email_of
from notify.channels.mailserver import server_of
from notify.channels.mime import BadHeader, Sender, compose, mailbox_of, sender_of
from notify.channels.protocol import Message, Outcome, final
from notify.channels.smtp_pool import Pool
from notify.config import Settings
from notify.errors import ConfigError, InvalidValue

# Of the time of a whole attempt. Who gave it so long cancels it then, and would not learn what it was waiting for.
_SHARE = 0.95


class EmailChannel:
    """Mail to recipients, from `smtp_from` through the server of `smtp_url`. ConfigError where they do not do."""

    name = "email"
    description = "mail over SMTP"
    disable_after_days: float | None = None

    def __init__(self, settings: Settings, unsubscribe_url: Callable[[Message], str | None]) -> None:
        self.concurrency = settings.smtp_connections
        self._seconds = settings.send_seconds * _SHARE
        self._sender = _sender(settings)
        self._redirect = _redirect(settings)
        self._unsubscribe_url = unsubscribe_url
        self._pool = Pool(server_of(settings, self._sender.domain), settings.smtp_connections)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def send(self, message: Message) -> Outcome:
        """Send it once.

        Final: `bad-address`, `bad-header`, `smtputf8`, and what the server refuses, as `smtp-550`. To be tried again:
        `smtp-451`, `timeout`, and `answer-lost`, where the mail may have been taken. Out of reach is the server with
        `connect`, `dns`, `tls`, `login`, `timeout`, `smtp-421`, `smtp-malformed`, what it answered on connecting, and
        what it has against the sender.
        """
        try:
            to = mailbox_of(email_of(message.address))
        except InvalidValue as error:
            return final("bad-address", str(error))
        try:
            letter = compose(
                message, self._sender, to, redirect=self._redirect, unsubscribe=self._unsubscribe_url(message)
            )
        except BadHeader as error:
            return final("bad-header", str(error))
        return await self._pool.send(letter, self._seconds)


def check_settings(settings: Settings) -> None:
    """Raise ConfigError, which names the variable, where mail is wanted and could not be sent as the settings are."""
    if settings.smtp_url is not None:
        server_of(settings, _sender(settings).domain)
        _redirect(settings)


def _sender(settings: Settings) -> Sender:
    try:
        return sender_of(settings.smtp_from or "")
    except InvalidValue as error:
        raise ConfigError(
            f"NOTIFY_SMTP_FROM={settings.smtp_from or ''!r} should read like 'Lessons <lessons@example.org>', "
            "as NOTIFY_SMTP_URL is set"
        ) from error


def _redirect(settings: Settings) -> str | None:
    if settings.redirect_email is None:
        return None
    try:
        return mailbox_of(email_of(settings.redirect_email))
    except InvalidValue as error:
        raise ConfigError(
            f"NOTIFY_REDIRECT_EMAIL={settings.redirect_email!r} should be one address, like ada@example.org"
        ) from error
