"""`notify send`, `status` and `cancel`: the SQL API from a terminal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, get_args

import click
import msgspec

from notify import calls
from notify.calls import perform_sync
from notify.cli.common import as_json, database, prepared, say, say_json
from notify.cli.text import clock, length, moment, printable
from notify.errors import NotFound, WrongStatus
from notify.model import Priority, ScheduleStatus
from notify.postgres.queries import one_sync

ID = click.IntRange(1, 2**63 - 1)


class Sent(msgspec.Struct, frozen=True):
    """What `send --json` prints."""

    id: int
    recipient: str
    status: str
    scheduled_at: datetime


@click.command()
@click.argument("recipient")
@click.argument("title")
@click.argument("message")
@click.option("--at", help="When: +5s, +10m, 2030-12-28T10:00:00Z. Now if not given.")
@click.option("--priority", type=click.Choice(get_args(Priority)), default="normal", show_default=True)
@click.option("--reference", help="Your own key, to cancel by.")
@as_json
def send(
    recipient: str, title: str, message: str, at: str | None, priority: str, reference: str | None, json: bool
) -> None:
    """Schedule a notification for RECIPIENT, who is registered if need be."""
    settings = prepared()
    with database(settings) as connection:
        now = one_sync(connection, "get_now", datetime)
        due = moment(at, now) if at else None
        call = calls.schedule(
            [recipient], title, message, due, priority=priority, reference=reference, unknown_recipients="create"
        )
        accepted = perform_sync(connection, call)[0]
    assert accepted.notification_id is not None  # nobody is unknown when the unknown are created
    sent = Sent(accepted.notification_id, accepted.recipient, "pending", due or now)
    say_json(sent) if json else say(_sent_line(sent, now))


def _sent_line(sent: Sent, now: datetime) -> str:
    ahead = sent.scheduled_at - now
    when = f"in {length(ahead.total_seconds())}" if ahead > timedelta() else "now"
    name = printable(sent.recipient)
    return f"#{sent.id} {name} {sent.status}, due {clock(sent.scheduled_at, now)} ({when})"


@click.command()
@click.argument("id", type=ID)
@as_json
def status(id: int, json: bool) -> None:
    """Where notification ID stands."""
    settings = prepared()
    with database(settings) as connection:
        now = one_sync(connection, "get_now", datetime)
        found = perform_sync(connection, calls.schedule_status(id))
    if found is None:
        raise NotFound(f"there is no notification {id}")
    say_json(found) if json else say(_status_lines(found, now))


def _status_lines(found: ScheduleStatus, now: datetime) -> str:
    line = f"#{found.id} {found.scheduled_status}, due {clock(found.scheduled_at, now)}"
    if found.sent_at is not None:
        late = (found.sent_at - found.scheduled_at).total_seconds()
        line += f", sent {clock(found.sent_at, now)} ({length(late)} after due)"
    elif found.scheduled_status == "pending":
        line += f" ({_distance(found.scheduled_at - now)})"
    reason = found.cancel_reason or found.failure_reason
    line += f" ({printable(reason)})" if reason else ""
    lines = [f"{line}: {printable(found.title)}"]
    for delivery in found.deliveries:
        error = f": {printable(delivery.error)}" if delivery.error else ""
        lines.append(f"  {delivery.channel} {delivery.status}, {delivery.attempts} attempts{error}")
    return "\n".join(lines)


def _distance(ahead: timedelta) -> str:
    seconds = ahead.total_seconds()
    return f"in {length(seconds)}" if seconds > 0 else f"overdue by {length(-seconds)}: is a worker running?"


@click.command()
@click.argument("id", type=ID)
@as_json
def cancel(id: int, json: bool) -> None:
    """Cancel notification ID if it is pending; then it is never sent."""
    settings = prepared()
    with database(settings) as connection:
        changed = perform_sync(connection, calls.cancel(id))
    if changed.status is None:
        raise NotFound(f"there is no notification {id}")
    if not changed.done:
        raise WrongStatus(f"#{id} is {changed.status}, not pending", notification_status=changed.status)
    answer: dict[str, Any] = {"id": id, "status": changed.status}
    say_json(answer) if json else say(f"#{id} {changed.status}")
