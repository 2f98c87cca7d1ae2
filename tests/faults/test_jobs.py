"""Jobs are losable: deleted, doubled, stuck in doing, or failing to finish, they change nothing that is sent."""

from __future__ import annotations

import pytest

from helpers.rows import Db, add_recipients, call_one, column, mailbox, schedule_ids, soon, statuses, value
from helpers.wait import until_async
from helpers.work import working
from notify.config import Settings

_ALL = "select count(*) from notify_jobs.procrastinate_jobs"
_TRIGGER = """
create function notify.spoil_job() returns trigger language plpgsql as $$ begin {} end $$;
create trigger spoil_job before {} on notify_jobs.procrastinate_jobs for each row execute function notify.spoil_job()
"""
_SPOILT = {
    "deleted": ("return null;", "insert"),
    "stuck in doing": ("new.status := 'doing'; return new;", "insert"),
    "late": ("new.scheduled_at := now() + '1 hour'; return new;", "insert"),
    "failing to finish": ("raise exception 'not to be finished';", "delete"),
    "not to be fetched": ("raise exception 'not to be fetched';", "update"),
}


@pytest.mark.parametrize("how", _SPOILT)
async def test_whatever_becomes_of_jobs_all_is_sent(dsn: str, db: Db, how: str) -> None:
    add_recipients(db, "ada", "bob")
    body, event = _SPOILT[how]
    db.execute(_TRIGGER.format(body, event).encode())
    before = schedule_ids(db, "ada", "bob")

    async def sent() -> bool:
        return set(statuses(db, ids)) == {"sent"}

    async with working(Settings(database_url=dsn)) as worker:
        ids = before
        await until_async(sent, what="sent at the start")
        ids = schedule_ids(db, "ada", scheduled_at=soon(db, "300 milliseconds")) + schedule_ids(db, "bob")
        await until_async(sent, timeout=8, what="sent by the ticker")
        assert worker.healthy
    assert (mailbox(db, "ada")[0], mailbox(db, "bob")[0]) == (2, 2)


async def test_doubled_jobs_send_once(dsn: str, db: Db) -> None:
    add_recipients(db, "ada")
    ids = [id for _ in range(20) for id in schedule_ids(db, "ada")]
    assert value(db, _ALL) > 0
    db.execute(
        "insert into notify_jobs.procrastinate_jobs (queue_name, task_name, args)"
        " select j.queue_name, j.task_name, j.args from notify_jobs.procrastinate_jobs j, generate_series(1, 50)"
    )

    async def done() -> bool:
        return bool(value(db, _ALL + " where task_name = 'notify.dispatch'") == 0)

    async with working(Settings(database_url=dsn)), working(Settings(database_url=dsn, ticker_enabled=False)):
        await until_async(done, what="all jobs done")
    assert statuses(db, ids) == ["sent"] * 20
    assert column(db, "select seq from notify.notification order by seq") == list(range(1, 21))


def test_what_a_dead_worker_left_in_doing_is_tidied(db: Db) -> None:
    """Also where its task is one that comes again by itself; what a living worker has is left to it."""
    living = value(db, "insert into notify_jobs.procrastinate_workers default values returning id")
    for queue, worker in (("notify_tasks", None), ("notify_tasks", living), ("of_the_application", None)):
        db.execute(
            "insert into notify_jobs.procrastinate_jobs (queue_name, task_name, args, status, worker_id)"
            " values (%s, 'notify.sweep', '{}', 'doing', %s)",
            (queue, worker),
        )
    assert call_one(db, "tidy", p_keep_answers="1 day", p_max=10)["jobs"] == 1
    assert value(db, _ALL) == 2
