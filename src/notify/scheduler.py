"""The Python client: `NotificationScheduler` and `AsyncNotificationScheduler`, one call = one SQL function.

Both have the same methods and run the same calls. With `connection=` a call joins the caller's transaction and opens
none of its own: what was scheduled exists when the caller commits, and never did when it rolls back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import msgspec

from notify import arguments
from notify.arguments import RecipientFields, ScheduleOptions
from notify.calls import Call
from notify.config import Settings
from notify.environment import load
from notify.joined import perform_joined, perform_joined_sync
from notify.link import AsyncLink, Link
from notify.model import Page, ScheduleStatus
from notify.unwrap import unwrap, unwrap_async

Row = TypeVar("Row")
Result = TypeVar("Result")


class NotificationScheduler:
    """Schedules, cancels and looks up notifications. May be used by several threads, whose calls take turns.

    Raises InvalidValue (a ValueError) for what cannot be accepted, its `field` named as in the HTTP API (`type` for
    notif_type, `delay_minutes` for retry_delay_minutes); NotFound (a LookupError) for an unknown id; Busy where others
    hold what the call needs; Unavailable when the database is out of reach: then a write may have happened, and only
    repeating it with an idempotency key is safe. The call after that connects again.

    With `connection=` a call is part of the caller's transaction. One that raises has left no trace there, and the
    transaction goes on: each call is in a savepoint. It opens no transaction of its own and never commits.
    A call without it is a transaction of its own, on a connection that the client opens at its first call and keeps
    until `close`; closed, it may be used again. After a fork the child opens its own.
    """

    def __init__(self, dsn: str | None = None, *, settings: Settings | None = None, connection: Any = None) -> None:
        """`connection` is one that all calls join, unless a call names another. Without any, calls use a connection
        to `dsn`, a libpq URL or keywords, or else to what NOTIFY_DATABASE_URL says, or raise ConfigError."""
        self._settings = _settings(dsn, settings)
        self._joined = connection
        self._link = Link(self._settings)

    def schedule_notification(
        self,
        recipients: Sequence[int | str],
        title: str,
        message: str,
        scheduled_at: datetime | None = None,
        notif_type: str = "system",
        priority: str = "normal",
        data: Mapping[str, Any] | None = None,
        *,
        connection: Any = None,
        **options: Unpack[ScheduleOptions],
    ) -> list[int]:
        """Schedule one notification a recipient and return their ids, in the recipients' order.

        `scheduled_at` must be aware and lie in the future, at most 5 years ahead; None means now. `priority` is low,
        normal, high or urgent. `data` is what JSON can say, with text keys, at most 16 KiB and 64 levels. Unknown
        recipients are logged and left out, unless the options say otherwise.
        """
        policy = self._settings.unknown_recipients
        call = arguments.schedule(
            policy, recipients, title, message, scheduled_at, notif_type, priority, data, **options
        )
        return arguments.ids(self._perform(call, connection))

    def cancel_scheduled(self, id: int, *, connection: Any = None) -> bool:
        """Cancel it if it is pending; then it is never sent. False if it was not pending any more."""
        return arguments.done(id, self._perform(arguments.cancel(id), connection))

    def get_schedule_status(self, id: int, *, connection: Any = None) -> ScheduleStatus:
        """Where it stands; fields can be read as attributes or as items."""
        return arguments.found(id, self._perform(arguments.schedule_status(id), connection))

    def get_pending_notifications(self, limit: int = 100, cursor: str | None = None, *, connection: Any = None) -> Page:
        """The pending ones, the next due first, up to 1,000; `next_cursor` of the page continues it."""
        return arguments.page(limit, self._perform(arguments.pending(limit, cursor), connection))

    def send_scheduled_notification(self, id: int, *, connection: Any = None) -> bool:
        """Send it now: it is sent when this returns, or at commit with `connection=`. False if not pending."""
        wait = connection is None and self._joined is None
        return arguments.done(id, self._perform(arguments.send(id, wait=wait), connection))

    def retry_failed_notification(self, id: int, retry_delay_minutes: float = 10, *, connection: Any = None) -> bool:
        """Make a failed or overdue one due again in so many minutes. False if its status forbids it."""
        return arguments.done(id, self._perform(arguments.retry(id, retry_delay_minutes), connection))

    def reschedule(self, id: int, scheduled_at: datetime, *, connection: Any = None) -> bool:
        """Move a pending one to another time. False if it was not pending any more."""
        return arguments.done(id, self._perform(arguments.reschedule(id, scheduled_at), connection))

    def cancel_reference(self, reference: str, *, connection: Any = None) -> int:
        """Cancel all that is pending under a reference; how many. An empty reference is refused."""
        return self._perform(arguments.cancel_reference(reference), connection)

    def upsert_recipient(
        self,
        id: int | str,
        *,
        connection: Any = None,
        **fields: Unpack[RecipientFields],
    ) -> bool:
        """Register a recipient, or update what is given; whether it was new."""
        return self._perform(arguments.upsert(id, **fields), connection)[0].created

    def close(self) -> None:
        """Close the client's own connection; a later call opens another."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, call: Call[Row, Result], connection: Any) -> Result:
        joined = self._joined if connection is None else connection
        if joined is None:
            return self._link.perform(call)
        return perform_joined_sync(unwrap(joined), call)


class AsyncNotificationScheduler:
    """As `NotificationScheduler`, for asyncio. May be used by several tasks, whose calls take turns.

    Used in several event loops, it keeps a connection for each; `close` closes that of the loop it is called in.
    """

    def __init__(self, dsn: str | None = None, *, settings: Settings | None = None, connection: Any = None) -> None:
        """See `NotificationScheduler`."""
        self._settings = _settings(dsn, settings)
        self._joined = connection
        self._link = AsyncLink(self._settings)

    async def schedule_notification(
        self,
        recipients: Sequence[int | str],
        title: str,
        message: str,
        scheduled_at: datetime | None = None,
        notif_type: str = "system",
        priority: str = "normal",
        data: Mapping[str, Any] | None = None,
        *,
        connection: Any = None,
        **options: Unpack[ScheduleOptions],
    ) -> list[int]:
        """See `NotificationScheduler.schedule_notification`."""
        policy = self._settings.unknown_recipients
        call = arguments.schedule(
            policy, recipients, title, message, scheduled_at, notif_type, priority, data, **options
        )
        return arguments.ids(await self._perform(call, connection))

    async def cancel_scheduled(self, id: int, *, connection: Any = None) -> bool:
        """See `NotificationScheduler.cancel_scheduled`."""
        return arguments.done(id, await self._perform(arguments.cancel(id), connection))

    async def get_schedule_status(self, id: int, *, connection: Any = None) -> ScheduleStatus:
        """See `NotificationScheduler.get_schedule_status`."""
        return arguments.found(id, await self._perform(arguments.schedule_status(id), connection))

    async def get_pending_notifications(
        self, limit: int = 100, cursor: str | None = None, *, connection: Any = None
    ) -> Page:
        """See `NotificationScheduler.get_pending_notifications`."""
        return arguments.page(limit, await self._perform(arguments.pending(limit, cursor), connection))

    async def send_scheduled_notification(self, id: int, *, connection: Any = None) -> bool:
        """See `NotificationScheduler.send_scheduled_notification`."""
        wait = connection is None and self._joined is None
        return arguments.done(id, await self._perform(arguments.send(id, wait=wait), connection))

    async def retry_failed_notification(
        self, id: int, retry_delay_minutes: float = 10, *, connection: Any = None
    ) -> bool:
        """See `NotificationScheduler.retry_failed_notification`."""
        return arguments.done(id, await self._perform(arguments.retry(id, retry_delay_minutes), connection))

    async def reschedule(self, id: int, scheduled_at: datetime, *, connection: Any = None) -> bool:
        """See `NotificationScheduler.reschedule`."""
        return arguments.done(id, await self._perform(arguments.reschedule(id, scheduled_at), connection))

    async def cancel_reference(self, reference: str, *, connection: Any = None) -> int:
        """See `NotificationScheduler.cancel_reference`."""
        return await self._perform(arguments.cancel_reference(reference), connection)

    async def upsert_recipient(
        self,
        id: int | str,
        *,
        connection: Any = None,
        **fields: Unpack[RecipientFields],
    ) -> bool:
        """See `NotificationScheduler.upsert_recipient`."""
        return (await self._perform(arguments.upsert(id, **fields), connection))[0].created

    async def close(self) -> None:
        """Close the client's own connection of this event loop; a later call opens another."""
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, call: Call[Row, Result], connection: Any) -> Result:
        joined = self._joined if connection is None else connection
        if joined is None:
            return await self._link.perform(call)
        return await perform_joined(await unwrap_async(joined), call)


def _settings(dsn: str | None, settings: Settings | None) -> Settings:
    given = settings or load()
    return given if dsn is None else msgspec.structs.replace(given, database_url=dsn)
