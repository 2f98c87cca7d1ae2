"""What cannot be is refused by the schema itself, whoever writes it: every combination of status and columns."""

from __future__ import annotations

from itertools import product
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from helpers.rows import Db, call, schedule, schedule_ids, value

NOTIFICATION = {
    "sent_at": "now()",
    "cancelled_at": "now()",
    "cancel_reason": "'requested'",
    "failed_at": "now()",
    "failure_reason": "'why'",
    "seq": "7",
    "read_at": "now()",
}
POSSIBLE = {
    ("pending",),
    ("sending",),
    ("sent", "sent_at"),
    ("sent", "sent_at", "seq"),
    ("sent", "sent_at", "seq", "read_at"),
    ("cancelled", "cancelled_at", "cancel_reason"),
    ("failed", "failed_at", "failure_reason"),
}
DELIVERY = {
    "lease_token": "gen_random_uuid()",
    "leased_until": "now()",
    "sent_at": "now()",
    "failed_at": "now()",
}
POSSIBLE_DELIVERY = {
    ("pending",),
    ("leased", "lease_token", "leased_until"),
    ("sent", "sent_at"),
    ("failed", "failed_at"),
    ("cancelled",),
}


def _accepted(
    tx: Db, table: LiteralString, status: str, columns: dict[LiteralString, LiteralString]
) -> set[tuple[str, ...]]:
    """The combinations of these columns, set or null, that the only row of the table may have in this status."""
    found = set()
    for chosen in product((True, False), repeat=len(columns)):
        given = dict(zip(columns, chosen, strict=True))
        values = [
            sql.SQL("{} = {}").format(sql.Identifier(n), sql.SQL(columns[n] if on else "null"))
            for n, on in given.items()
        ]
        update = sql.SQL("update notify.{} set status = {}, {}").format(
            sql.Identifier(table), sql.Literal(status), sql.SQL(", ").join(values)
        )
        try:
            with tx.transaction(force_rollback=True):
                tx.execute(update)
        except psycopg.errors.CheckViolation:
            continue
        found.add((status, *(name for name, on in given.items() if on)))
    return found


@pytest.mark.parametrize("status", ["pending", "sending", "sent", "cancelled", "failed"])
def test_notification_has_exactly_what_its_status_says(tx: Db, status: str) -> None:
    schedule(tx, "ada")
    tx.execute("update notify.notification set due_at = '2020-01-01Z'")
    assert _accepted(tx, "notification", status, NOTIFICATION) == {p for p in POSSIBLE if p[0] == status}


@pytest.mark.parametrize("status", ["pending", "leased", "sent", "failed", "cancelled"])
def test_delivery_has_exactly_what_its_status_says(tx: Db, status: str) -> None:
    _delivery(tx)
    assert _accepted(tx, "delivery", status, DELIVERY) == {p for p in POSSIBLE_DELIVERY if p[0] == status}


def _delivery(tx: Db) -> None:
    tx.execute("insert into notify.channel values ('carrier', 'for tests')")
    (id,) = schedule_ids(tx, "ada")
    tx.execute("insert into notify.delivery (notification_id, channel, due_at) values (%s, 'carrier', now())", (id,))


REFUSED: list[tuple[LiteralString, str]] = [
    # never early, numbered from 1, each number once, and only for whom there is
    ("update notify.notification set status = 'sent', sent_at = due_at - interval '1 microsecond'", "never_early"),
    ("update notify.notification set due_at = 'infinity'", "notification_due_at_check"),
    ("update notify.notification set status = 'sent', sent_at = due_at, seq = 0", "notification_seq_check"),
    ("update notify.notification set status = 'sent', sent_at = due_at, seq = 1", "notification_stream"),
    ("update notify.notification set recipient = 'nobody'", "notification_recipient_fkey"),
    ("update notify.notification set batch_id = 0", "notification_batch_id_fkey"),
    (
        "update notify.notification set status = 'cancelled', cancelled_at = now(), cancel_reason = 'odd'",
        "notification_cancel_reason_check",
    ),
    ("delete from notify.batch", "notification_batch_id_fkey"),
    ("delete from notify.mailbox", "notification_recipient_fkey"),
    ("delete from notify.recipient", "mailbox_recipient_fkey"),
    ("insert into notify.mailbox (recipient) values ('nobody')", "mailbox_recipient_fkey"),
    # counts
    ("update notify.mailbox set unread = -1", "mailbox_unread"),
    ("update notify.mailbox set unread = 1", "mailbox_unread"),
    ("update notify.mailbox set acked_seq = 1", "mailbox_acked"),
    ("update notify.mailbox set acked_seq = -1", "mailbox_acked"),
    ("update notify.mailbox set floor_seq = 1", "mailbox_floor"),
    ("update notify.mailbox set last_seq = -1", "mailbox_"),
    # names
    ("update notify.recipient set id = '' where id = 'bob'", "recipient_id_printable"),
    ("update notify.recipient set id = repeat('x', 129) where id = 'bob'", "recipient_id_printable"),
    ("update notify.recipient set id = e'a\\tb' where id = 'bob'", "recipient_id_printable"),
    ("update notify.recipient set id = e'a\\u0080' where id = 'bob'", "recipient_id_printable"),
    ("update notify.recipient set addresses = '[]'", "recipient_addresses_check"),
    ("update notify.recipient set preferences = '1'", "recipient_preferences_check"),
    ("update notify.recipient set locale = ''", "recipient_locale_check"),
    ("update notify.recipient set time_zone = ''", "recipient_time_zone_check"),
    # content
    ("update notify.batch set title = ''", "batch_title_check"),
    ("update notify.batch set title = repeat('t', 201)", "batch_title_check"),
    ("update notify.batch set message = ''", "batch_message_check"),
    ("update notify.batch set message = repeat('m', 16385)", "batch_message_check"),
    ("update notify.batch set type = ''", "batch_type_check"),
    ("update notify.batch set data = '[]'", "batch_data_check"),
    ("update notify.batch set channels = '{}'", "batch_channels_check"),
    ("update notify.batch set reference = ''", "batch_reference_check"),
    ("update notify.batch set scheduled_at = 'infinity'", "batch_"),
    ("update notify.batch set expires_at = 'infinity'", "batch_expires_at_check"),
    ("update notify.batch set expires_at = scheduled_at", "batch_expires_later"),
    # deliveries
    ("update notify.delivery set channel = 'inbox'", "delivery_channel_check"),
    ("update notify.delivery set channel = 'pigeon'", "delivery_channel_fkey"),
    ("update notify.delivery set attempts = -1", "delivery_attempts_check"),
    (
        "insert into notify.delivery (notification_id, channel, due_at)"
        " select notification_id, channel, now() from notify.delivery",
        "delivery_notification_id_channel_key",
    ),
    ("delete from notify.channel where name = 'carrier'", "delivery_channel_fkey"),
    ("insert into notify.channel values ('No Name', 'odd')", "channel_name_check"),
    ("insert into notify.attempt select id, 0, now(), now(), 'sent' from notify.delivery", "attempt_number_check"),
    ("insert into notify.attempt select id, 1, now(), now(), 'odd' from notify.delivery", "attempt_outcome_check"),
    (
        "insert into notify.attempt select id, 1, now(), now() - interval '1 s', 'sent' from notify.delivery",
        "attempt_check",
    ),
    # keys and secrets
    ("insert into notify.api_key values (default, 'k', 'p', 'short', '{read}', now())", "api_key_hash_check"),
    ("insert into notify.api_key values (default, 'k', 'p', sha256('x'), '{root}', now())", "api_key_scopes_check"),
    ("insert into notify.api_key values (default, 'k', 'p', sha256('x'), '{}', now())", "api_key_scopes_check"),
    ("insert into notify.api_key values (default, '', 'p', sha256('x'), '{read}', now())", "api_key_name_check"),
    ("insert into notify.idempotency values ('o', '', 'h', '{}', now())", "idempotency_key_check"),
    ("update notify.secret set value = ''", "secret_value_check"),
]


@pytest.mark.parametrize(("statement", "constraint"), REFUSED, ids=lambda given: given[:60])
def test_refused_by_a_constraint(tx: Db, statement: LiteralString, constraint: str) -> None:
    schedule(tx, "ada")
    schedule(tx, "ada")
    _delivery(tx)
    with pytest.raises(psycopg.IntegrityError) as caught, tx.transaction():
        tx.execute(statement)
    assert (caught.value.diag.constraint_name or "").startswith(constraint)


def test_deliveries_and_attempts_go_with_their_notification(tx: Db) -> None:
    _delivery(tx)
    tx.execute("insert into notify.attempt select id, 1, now(), now(), 'sent' from notify.delivery")
    call(tx, "delete_recipient", id="ada")
    assert value(tx, "select (select count(*) from notify.delivery) + (select count(*) from notify.attempt)") == 0
