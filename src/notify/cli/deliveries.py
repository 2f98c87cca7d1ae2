"""`notify deliveries` and `replay`: what leaves on outside channels, and what failed and is to be tried again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

import click
from psycopg import Connection

from notify import control
from notify.calls import perform_sync
from notify.cli.common import as_json, database, prepared, say, say_json, table
from notify.cli.text import clock, printable
from notify.control import Wanted
from notify.errors import NotFound
from notify.model import DeliveryStatus, ListedDelivery
from notify.postgres.queries import one_sync

_ID = click.IntRange(1, 2**63 - 1)
_AT_A_TIME = 1_000
_MOST_ERROR = 60


@click.command()
@click.option("--status", type=click.Choice(get_args(DeliveryStatus)), help="Only those with this status.")
@click.option("--channel", help="Only those on this channel.")
@click.option("--code", help="Only those whose last failure was this, as smtp-550.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="How many at most.")
@as_json
def deliveries(status: DeliveryStatus | None, channel: str | None, code: str | None, limit: int, json: bool) -> None:
    """Deliveries on outside channels, the newest first."""
    settings = prepared()
    with database(settings) as connection:
        found = _newest(connection, Wanted(status=status, channel=channel, code=code), limit)
        now = one_sync(connection, "get_now", datetime)
    if json:
        say_json(found)
        return
    rows: list[tuple[str, ...]] = [("ID", "NOTIFICATION", "RECIPIENT", "CHANNEL", "STATUS", "TRIES", "WHEN", "ERROR")]
    rows += [
        (
            str(one.id),
            str(one.notification_id),
            printable(one.recipient),
            one.channel,
            "held" if one.held is not None else one.status,
            str(one.attempts),
            clock(one.sent_at or one.failed_at or one.due_at, now),
            _error(one),
        )
        for one in found
    ]
    say(table(rows))


def _newest(connection: Connection[Any], wanted: Wanted, limit: int) -> list[ListedDelivery]:
    """As many as there are, up to `limit`, looked for piece by piece."""
    found: list[ListedDelivery] = []
    before: int | None = None
    while len(found) < limit:
        bound = control.delivery_floor(wanted, before)
        floor = None if bound is None else perform_sync(connection, bound)
        call = control.list_deliveries(wanted, before=before, floor=floor, limit=limit - len(found))
        page = perform_sync(connection, call)
        found += page
        if floor is None:
            break
        before = floor
    return found


def _error(delivery: ListedDelivery) -> str:
    said = " ".join(printable(text) for text in (delivery.code, delivery.error) if text)
    return said if len(said) <= _MOST_ERROR else said[: _MOST_ERROR - 1] + "…"


@click.command()
@click.argument("ids", type=_ID, nargs=-1, metavar="[ID]...")
@click.option("--batch", type=_ID, help="All that failed of this batch.")
@click.option("--channel", help="All that failed on this channel.")
@click.option("--code", help="All whose last failure was this, as smtp-550.")
@click.option("--all", "everything", is_flag=True, help="All that failed.")
@as_json
def replay(
    ids: tuple[int, ...], batch: int | None, channel: str | None, code: str | None, everything: bool, json: bool
) -> None:
    """Make failed deliveries due again: those with these IDs, or all that the options say."""
    filtered = everything or any(one is not None for one in (batch, channel, code))
    if bool(ids) == filtered:
        raise click.UsageError("say which: either IDs, or --batch, --channel, --code or --all")
    settings = prepared()
    with database(settings) as connection:
        if ids:
            count = perform_sync(connection, control.replay_deliveries(ids))
        else:
            count = _replay_failed(connection, batch_id=batch, channel=channel, code=code)
    if ids and not count:
        raise NotFound(
            "none of these deliveries can be replayed: only failed ones can, whose notification was not cancelled; "
            "notify deliveries --status failed lists them by ID"
        )
    say_json({"replayed": count}) if json else say(f"{count} replayed")


def _replay_failed(connection: Connection[Any], *, batch_id: int | None, channel: str | None, code: str | None) -> int:
    """Replay all that failed until now, in portions; how many. What fails again meanwhile is left alone."""
    now = one_sync(connection, "get_now", datetime)
    count = 0
    more = True
    while more:
        call = control.replay_failed(batch_id=batch_id, channel=channel, code=code, failed_to=now, limit=_AT_A_TIME)
        done = perform_sync(connection, call)
        count, more = count + done.replayed, done.more
    return count
