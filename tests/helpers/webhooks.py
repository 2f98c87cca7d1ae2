"""Webhooks in tests: a message, one call over a channel that may reach loopback, names that lead where a test says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec.structs import replace

from helpers.wait import until
from notify.channels.protocol import Message, Outcome
from notify.channels.webhook import WebhookChannel
from notify.config import Settings

SECRET, OTHER, THIRD = ("whsec_" + letter * 32 for letter in "abc")
LOOPBACK = Settings(outside_allow="127.0.0.1", webhook_secret=SECRET)
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def message(address: Any, **changes: Any) -> Message:
    plain = Message(
        stable_id="ntf_7_webhook",
        attempt=1,
        notification_id=7,
        batch_id=3,
        recipient="ada",
        address=address,
        locale=None,
        time_zone=None,
        type="lesson",
        priority="high",
        title="Lesson at ten",
        message="Bring your bööks",
        html=None,
        data={"room": 4, "at": {"floor": 2, "door": "b"}},
        reference="lesson:9",
        scheduled_at=AT,
        required=False,
    )
    return replace(plain, **changes)


@asynccontextmanager
async def channel(settings: Settings = LOOPBACK, **options: Any) -> AsyncIterator[WebhookChannel]:
    async with WebhookChannel(settings, **options) as opened:
        yield opened


async def send(address: Any, settings: Settings = LOOPBACK, **options: Any) -> Outcome:
    """One call over a channel of its own."""
    async with channel(settings, **options) as opened:
        return await opened.send(message(address))


async def soon(predicate: Callable[[], bool], what: str) -> None:
    """Wait for it while the loop goes on."""
    await asyncio.to_thread(until, predicate, what=what)


class Names(AbstractResolver):
    """Answers each lookup with the next list of addresses, the last one for ever."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [
            ResolveResult(hostname=host, host=address, port=port, family=int(family), proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None:
        return None
