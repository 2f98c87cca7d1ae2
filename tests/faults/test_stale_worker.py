"""A worker that was stopped, replaced, and goes on later changes nothing that its successor did."""

from __future__ import annotations

import signal

import pytest

from faults.conftest import Run, backends
from helpers.rows import Db, add_recipients, call_one, column, mailbox, one, schedule_ids, statuses, value
from helpers.wait import until

_GATE = """
create function notify.gate() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(42);
  return new;
end $$;
create trigger gate before update on notify.notification for each row when (new.status = 'sent')
execute function notify.gate()
"""

# The ticker, or the sweep that comes first.
_WAITING = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"


@pytest.mark.parametrize("lost", ["its session", "nothing"])
def test_a_worker_stopped_in_the_middle_of_a_drain(run: Run, dsn: str, db: Db, holder: Db, lost: str) -> None:
    add_recipients(db, "ada")
    db.execute(_GATE)
    holder.execute("select pg_advisory_xact_lock(42)")
    stale = run("worker", database_url=dsn, jobs_enabled="false")
    (id,) = schedule_ids(db, "ada")
    draining = until(lambda: column(db, _WAITING))[0]
    stale.process.send_signal(signal.SIGSTOP)
    if lost == "its session":
        db.execute("select pg_terminate_backend(%s)", (draining,))
        until(lambda: draining not in column(db, _WAITING))
    else:
        holder.commit()
        until(lambda: statuses(db, [id]) == ["sent"])
    stopped = backends(db, "notify-ticker")
    successor = run("worker", database_url=dsn, jobs_enabled="false")
    until(lambda: set(backends(db, "notify-ticker")) - set(stopped))
    holder.rollback()
    until(lambda: statuses(db, [id]) == ["sent"])
    was = one(db, "select * from notify.notification where id = %s", id)
    stale.process.send_signal(signal.SIGCONT)
    # It takes part again: of two workers each has a ticker.
    until(lambda: len(backends(db, "notify-ticker")) == 2, 30)
    (more,) = schedule_ids(db, "ada")
    until(lambda: statuses(db, [more]) == ["sent"])
    assert one(db, "select * from notify.notification where id = %s", id) == was
    assert mailbox(db, "ada")[:2] == (2, 2)
    assert stale.end() == 0
    assert successor.end() == 0


def test_a_lease_that_was_taken_over_is_not_its_old_holders(db: Db) -> None:
    """What an attempt may be recorded by is the token, and the rescue takes it away."""
    add_recipients(db, "ada")
    db.execute("insert into notify.channel (name, description) values ('email', 'For this test.')")
    (id,) = schedule_ids(db, "ada", channels=["email"])
    call_one(db, "drain")
    token = value(
        db,
        "update notify.delivery set status = 'leased', lease_token = gen_random_uuid(),"
        " leased_until = notify.now() - interval '1 second' where notification_id = %s returning lease_token",
        id,
    )
    assert value(db, "select notify.rescue_deliveries(10)") == 1
    with_old_token = (
        "update notify.delivery set status = 'sent', sent_at = notify.now(), lease_token = null, leased_until = null"
        " where lease_token = %s"
    )
    assert db.execute(with_old_token, (token,)).rowcount == 0
    assert value(db, "select status::text from notify.delivery") == "pending"
