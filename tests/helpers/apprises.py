"""For tests of channels by Apprise: a channel to services on loopback, and their URLs."""

from __future__ import annotations

from typing import Any

from helpers.mail import message
from helpers.receiver import Receiver
from notify.channels.protocol import Outcome
from notify.channels.services import AppriseChannel
from notify.config import Settings

HERE: dict[str, Any] = {"apprise_schemes": "json,ntfy,slack,tgram", "outside_allow": "127.0.0.0/8"}
NOWHERE = "nowhere.example.org"


def at(service: Receiver, rest: str = "/hook", scheme: str = "json") -> str:
    """An Apprise URL of the service."""
    return f"{scheme}://127.0.0.1:{service.port}{rest}"


async def send(address: Any, settings: dict[str, Any] | None = None, **changes: Any) -> Outcome:
    """Send one message by a channel of its own."""
    async with AppriseChannel(Settings(**HERE | (settings or {})), "apprise") as channel:
        return await channel.send(message(address=address, **changes))
