"""The Python client: `NotificationScheduler` and `AsyncNotificationScheduler`, one call = one SQL function.

Both have the same methods and run the same calls. With `connection=` a call joins the caller's transaction and opens
none of its own: what was scheduled exists when the caller commits, and never did when it rolls back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

import psycopg
from psycopg import AsyncConnection, Connection

from notify import calls, cursor
from notify.calls import Call, Changed, perform, perform_sync
from notify.config import Settings, load
from notify.errors import InvalidValue, NotFound, Unavailable
from notify.inputs import as_data, as_limit, as_recipient, as_recipients, as_text, as_time
from notify.model import INBOX, Accepted, Notification, Page, ScheduleStatus, UnknownPolicy
from notify.postgres.connection import connect, connect_sync
from notify.unwrap import unwrap, unwrap_async

log = logging.getLogger("notify.scheduler")

Row = TypeVar("Row")
Result = TypeVar("Result")


class ScheduleOptions(TypedDict, total=False):
    """What schedule_notification also takes, by name."""

    channels: Sequence[str]
    """Where it goes; the inbox alone by default."""
    reference: str | None
    """The caller's own key, as `invoice:42`; cancel_reference takes it."""
    expires_at: datetime | None
    """What is not sent by then is cancelled instead."""
    idempotency_key: str | None
    """A repeated call with the same one returns the first one's ids."""
    unknown_recipients: UnknownPolicy | None
    """skip, create or reject; by default what NOTIFY_UNKNOWN_RECIPIENTS says, or skip."""


class RecipientFields(TypedDict, total=False):
    """What is known of a recipient; what is left out stays as it was."""

    time_zone: str | None
    """An IANA name."""
    locale: str | None
    """A BCP 47 tag."""
    addresses: Mapping[str, Any] | None
    """By channel."""
    preferences: Mapping[str, Any] | None
    """As the application defines them."""


class _Scheduler:
    """What both clients share: settings, and how arguments become calls and rows become results."""

    def __init__(self, dsn: str | None = None, *, settings: Settings | None = None, connection: Any = None) -> None:
        """`connection` is one that all calls join, unless a call names another. Without any, calls use a connection
        to `dsn`, a libpq URL or keywords, or else to what NOTIFY_DATABASE_URL says."""
        given = settings or load()
        self._target: Settings | str = dsn if dsn is not None else given
        self._unknown = given.unknown_recipients
        self._joined = connection

    def _join(self, connection: Any) -> Any:
        return self._joined if connection is None else connection

    def _schedule(
        self,
        recipients: Sequence[int | str],
        title: str,
        message: str,
        scheduled_at: datetime | None,
        notif_type: str,
        priority: str,
        data: Mapping[str, Any] | None,
        *,
        channels: Sequence[str] = (INBOX,),
        reference: str | None = None,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
        unknown_recipients: UnknownPolicy | None = None,
    ) -> Call[Accepted, list[Accepted]]:
        return calls.schedule(
            as_recipients(recipients),
            as_text("title", title),
            as_text("message", message),
            as_time("scheduled_at", scheduled_at),
            type=as_text("type", notif_type),
            priority=as_text("priority", priority),
            data=as_data(data),
            channels=[as_text("channels", channel) for channel in channels],
            idempotency_key=_optional_text("idempotency_key", idempotency_key),
            reference=_optional_text("reference", reference),
            expires_at=as_time("expires_at", expires_at),
            unknown_recipients=unknown_recipients or self._unknown,
        )


def _optional_text(field: str, value: str | None) -> str | None:
    return None if value is None else as_text(field, value)


def _ids(accepted: list[Accepted]) -> list[int]:
    """The ids in the recipients' order; who is unknown was skipped, is logged, and blocks nobody."""
    skipped = [row.recipient for row in accepted if row.notification_id is None]
    if skipped:
        log.warning("%d unknown recipients skipped: %s", len(skipped), ", ".join(skipped[:10]))
    return [row.notification_id for row in accepted if row.notification_id is not None]


def _done(id: int, changed: Changed) -> bool:
    if changed.status is None:
        raise NotFound(f"there is no notification {id}", field="id")
    return changed.done


def _found(id: int, status: ScheduleStatus | None) -> ScheduleStatus:
    if status is None:
        raise NotFound(f"there is no notification {id}", field="id")
    return status


def _pending(limit: int, after: str | None) -> Call[Notification, list[Notification]]:
    position = None if after is None else cursor.decode(after, tuple[datetime, int])
    return calls.pending_notifications(as_limit(limit), position)


def _page(limit: int, rows: list[Notification]) -> Page:
    last = rows[-1] if len(rows) == limit else None
    return Page(rows, None if last is None else cursor.encode((last.scheduled_at, last.id)))


def _recipient(id: int | str, **fields: Unpack[RecipientFields]) -> Call[calls.Upserted, list[calls.Upserted]]:
    name = as_recipient(id, "id")
    given = {key: value for key, value in fields.items() if value is not None}
    return calls.upsert_recipients([{"id": name, **given}], replace=False)


class NotificationScheduler(_Scheduler):
    """Schedules, cancels and looks up notifications. May be used by several threads.

    Raises InvalidValue (a ValueError) for what cannot be accepted, NotFound (a LookupError) for an unknown id,
    Unavailable when the database is out of reach: then only an idempotency key tells whether a write happened.
    """

    _connection: Connection[Any] | None = None

    def __init__(self, dsn: str | None = None, *, settings: Settings | None = None, connection: Any = None) -> None:
        super().__init__(dsn, settings=settings, connection=connection)
        self._lock = threading.Lock()

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

        `scheduled_at` must be aware and lie in the future; None means now. `priority` is low, normal, high or
        urgent. Unknown recipients are logged and left out, unless the options say otherwise.
        """
        call = self._schedule(recipients, title, message, scheduled_at, notif_type, priority, data, **options)
        return _ids(self._perform(call, connection))

    def cancel_scheduled(self, id: int, *, connection: Any = None) -> bool:
        """Cancel it if it is pending; then it is never sent. False if it was not pending any more."""
        return _done(id, self._perform(calls.cancel(id), connection))

    def get_schedule_status(self, id: int, *, connection: Any = None) -> ScheduleStatus:
        """Where it stands; fields can be read as attributes or as items."""
        return _found(id, self._perform(calls.schedule_status(id), connection))

    def get_pending_notifications(self, limit: int = 100, cursor: str | None = None, *, connection: Any = None) -> Page:
        """The pending ones, the next due first; `next_cursor` of the page continues it."""
        return _page(limit, self._perform(_pending(limit, cursor), connection))

    def send_scheduled_notification(self, id: int, *, connection: Any = None) -> bool:
        """Send it now: it is sent when this returns, or at commit with `connection=`. False if not pending."""
        return _done(id, self._perform(calls.send(id, wait=self._join(connection) is None), connection))

    def retry_failed_notification(self, id: int, retry_delay_minutes: float = 10, *, connection: Any = None) -> bool:
        """Make a failed or overdue one due again in so many minutes. False if its status forbids it."""
        return _done(id, self._perform(calls.retry(id, retry_delay_minutes), connection))

    def reschedule(self, id: int, scheduled_at: datetime, *, connection: Any = None) -> bool:
        """Move a pending one to another time. False if it was not pending any more."""
        return _done(id, self._perform(calls.reschedule(id, _required_time(scheduled_at)), connection))

    def cancel_reference(self, reference: str, *, connection: Any = None) -> int:
        """Cancel all that is pending under a reference; how many. An empty reference is refused."""
        return self._perform(calls.cancel_reference(as_text("reference", reference)), connection)

    def upsert_recipient(
        self,
        id: int | str,
        *,
        connection: Any = None,
        **fields: Unpack[RecipientFields],
    ) -> bool:
        """Register a recipient, or update what is given; whether it was new."""
        return self._perform(_recipient(id, **fields), connection)[0].created

    def close(self) -> None:
        """Close the client's own connection; a later call opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, call: Call[Row, Result], connection: Any) -> Result:
        joined = self._join(connection)
        if joined is not None:
            return perform_sync(unwrap(joined), call)
        try:
            return perform_sync(self._own(), call)
        except psycopg.OperationalError as error:
            raise Unavailable("the database is out of reach") from error

    def _own(self) -> Connection[Any]:
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = connect_sync(self._target, name="client")
            return self._connection


class AsyncNotificationScheduler(_Scheduler):
    """As `NotificationScheduler`, for asyncio. May be used by several tasks of one event loop."""

    _connection: AsyncConnection[Any] | None = None

    def __init__(self, dsn: str | None = None, *, settings: Settings | None = None, connection: Any = None) -> None:
        super().__init__(dsn, settings=settings, connection=connection)
        self._lock = asyncio.Lock()

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
        call = self._schedule(recipients, title, message, scheduled_at, notif_type, priority, data, **options)
        return _ids(await self._perform(call, connection))

    async def cancel_scheduled(self, id: int, *, connection: Any = None) -> bool:
        """See `NotificationScheduler.cancel_scheduled`."""
        return _done(id, await self._perform(calls.cancel(id), connection))

    async def get_schedule_status(self, id: int, *, connection: Any = None) -> ScheduleStatus:
        """See `NotificationScheduler.get_schedule_status`."""
        return _found(id, await self._perform(calls.schedule_status(id), connection))

    async def get_pending_notifications(
        self, limit: int = 100, cursor: str | None = None, *, connection: Any = None
    ) -> Page:
        """See `NotificationScheduler.get_pending_notifications`."""
        return _page(limit, await self._perform(_pending(limit, cursor), connection))

    async def send_scheduled_notification(self, id: int, *, connection: Any = None) -> bool:
        """See `NotificationScheduler.send_scheduled_notification`."""
        return _done(id, await self._perform(calls.send(id, wait=self._join(connection) is None), connection))

    async def retry_failed_notification(
        self, id: int, retry_delay_minutes: float = 10, *, connection: Any = None
    ) -> bool:
        """See `NotificationScheduler.retry_failed_notification`."""
        return _done(id, await self._perform(calls.retry(id, retry_delay_minutes), connection))

    async def reschedule(self, id: int, scheduled_at: datetime, *, connection: Any = None) -> bool:
        """See `NotificationScheduler.reschedule`."""
        return _done(id, await self._perform(calls.reschedule(id, _required_time(scheduled_at)), connection))

    async def cancel_reference(self, reference: str, *, connection: Any = None) -> int:
        """See `NotificationScheduler.cancel_reference`."""
        return await self._perform(calls.cancel_reference(as_text("reference", reference)), connection)

    async def upsert_recipient(
        self,
        id: int | str,
        *,
        connection: Any = None,
        **fields: Unpack[RecipientFields],
    ) -> bool:
        """See `NotificationScheduler.upsert_recipient`."""
        return (await self._perform(_recipient(id, **fields), connection))[0].created

    async def close(self) -> None:
        """Close the client's own connection; a later call opens another."""
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, call: Call[Row, Result], connection: Any) -> Result:
        joined = self._join(connection)
        if joined is not None:
            return await perform(await unwrap_async(joined), call)
        try:
            return await perform(await self._own(), call)
        except psycopg.OperationalError as error:
            raise Unavailable("the database is out of reach") from error

    async def _own(self) -> AsyncConnection[Any]:
        async with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._target, name="client")
            return self._connection


def _required_time(value: datetime) -> datetime:
    at = as_time("scheduled_at", value)
    if at is None:
        raise InvalidValue("scheduled_at must be given", field="scheduled_at")
    return at
