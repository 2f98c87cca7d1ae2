"""What a channel is: it has a name, and sends one message at a time, telling what came of it.

One of your own is a class with these members and an entry point in the group `notify.channels`; see docs/channels.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Protocol

import msgspec

Address = str | Mapping[str, Any]
"""As it was registered in the recipient's `addresses` under the channel's name: a text, or an object."""

MOST_DETAIL = 1_000

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""What a channel may be called, other than inbox."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one delivery: whom to reach, and with what. Times are in UTC."""

    stable_id: str
    """The same in every attempt, and unique in the world: a provider may use it to drop what it has already got."""
    attempt: int
    """1, 2, 3, …"""
    notification_id: int
    batch_id: int
    recipient: str
    address: Address
    locale: str | None
    time_zone: str | None
    type: str
    priority: Literal["low", "normal", "high", "urgent"]
    title: str
    message: str
    html: str | None
    """The message as HTML, where a template has one."""
    data: Mapping[str, Any]
    reference: str | None
    scheduled_at: datetime
    """When the notification was due; the same in every attempt."""
    required: bool
    """Whether the recipient cannot opt out of its type."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt. Made by `sent`, `retry` or `final`."""

    kind: Literal["sent", "retry", "final"]
    code: str = ""
    """Groups failures, as `smtp-550`, `http-503`, `timeout`: lower case, digits and hyphens."""
    detail: str = ""
    """The provider's answer, for people; cut to MOST_DETAIL characters."""
    retry_after: float | None = None
    """Seconds that the provider asked to be left alone."""
    outage: bool = False
    """Whether the channel itself is down (its server out of reach), and not one recipient's address: such failures
    in a row stop it for a while."""
    disable: bool = False
    """Whether the address is to be used no more."""
    unreachable: bool = False
    """Whether nobody answered: no name, no connection, or no answer in time. One says nothing of the channel; once
    that many different addresses in a row could not be reached as would be outages enough, each further one is one."""


def sent(detail: str = "") -> Outcome:
    """The provider took it."""
    return Outcome(kind="sent", detail=detail[:MOST_DETAIL])


def retry(
    code: str,
    detail: str = "",
    *,
    retry_after: float | None = None,
    outage: bool = False,
    unreachable: bool = False,
) -> Outcome:
    """It failed, and may succeed later."""
    return Outcome(
        kind="retry",
        code=code,
        detail=detail[:MOST_DETAIL],
        retry_after=retry_after,
        outage=outage,
        unreachable=unreachable,
    )


def final(code: str, detail: str = "", *, disable: bool = False) -> Outcome:
    """It failed, and would fail again. `disable`: so would anything to this address."""
    return Outcome(kind="final", code=code, detail=detail[:MOST_DETAIL], disable=disable)


class Channel(Protocol):
    """A way to reach recipients. It is entered as a context manager before it sends and left when the worker stops."""

    name: str
    """As callers write it in `channels`: a letter, then letters, digits and underscores, 32 at most, lower case."""
    description: str
    """For people, in one line."""
    concurrency: int
    """How many messages it may be given at once."""
    disable_after_days: float | None
    """An address that failed for so long, and never succeeded meanwhile, is used no more; None: it always is."""

    async def send(self, message: Message) -> Outcome:
        """Send it once. An exception counts as a failure that may pass. Cancelled when its time is over."""
        ...

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


class Plain(AbstractAsyncContextManager["Plain"]):
    """A base for channels that have nothing to open or close, with defaults for all but `name` and `send`."""

    description = ""
    concurrency = 8
    disable_after_days: float | None = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
