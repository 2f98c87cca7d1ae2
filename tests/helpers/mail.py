"""A message, and the channel email set up for a mail server of a test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from helpers.smtp import MailServer
from notify.channels.email import EmailChannel
from notify.channels.protocol import Message, Outcome
from notify.config import Settings

ADA = Message(
    stable_id="0f8fad5b-1",
    attempt=1,
    notification_id=7,
    batch_id=3,
    recipient="ada",
    address="ada@example.net",
    locale=None,
    time_zone=None,
    type="lesson",
    priority="normal",
    title="A new lesson",
    message="It begins at nine.\nBring paper.",
    html=None,
    data={},
    reference=None,
    scheduled_at=datetime(2030, 1, 1, tzinfo=UTC),
    required=False,
)


def message(**changes: Any) -> Message:
    """A message to ada that differs so from the usual one."""
    return replace(ADA, **changes)


def no_link(message: Message) -> str | None:
    return None


def channel_to(
    port: int,
    *,
    host: str = "127.0.0.1",
    scheme: str = "smtp",
    login: str = "",
    unsubscribe: Callable[[Message], str | None] = no_link,
    **settings: Any,
) -> EmailChannel:
    """The channel by a server on this port; `login` as it stands in a URL."""
    url = f"{scheme}://{login}{'@' if login else ''}{host}:{port}"
    sender = "Lessons <lessons@example.org>"
    return EmailChannel(Settings(smtp_url=url, smtp_from=sender, **settings), unsubscribe)


async def send(server: MailServer, message: Message = ADA, **options: Any) -> Outcome:
    """Send one message by a channel of its own."""
    async with channel_to(server.port, **options) as channel:
        return await channel.send(message)
