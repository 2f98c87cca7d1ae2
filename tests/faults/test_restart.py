"""What was acknowledged is there after Postgres was killed, also where the server's default is asynchronous commit."""

from __future__ import annotations

import httpx
import psycopg

from faults.conftest import Fragile
from helpers.http import ADMIN_KEY
from helpers.rows import Db, ack, add_recipients, call_one, column, mailbox, schedule_ids, soon, statuses, value
from helpers.server import serving
from helpers.wait import until
from notify.config import Settings
from notify.postgres.connection import connect_sync


def _plain(dsn: str) -> Db:
    """A session as an application has it, with the server's own settings."""
    return psycopg.connect(dsn, autocommit=True)


def test_without_our_care_it_would_be_lost(fragile: Fragile) -> None:
    """Else the other tests could not fail."""
    with _plain(fragile.dsn) as db:
        db.execute("create table public.mine (id int)")
        db.execute("checkpoint")
        db.execute("insert into public.mine values (1)")
        fragile.crash()
    with _plain(fragile.dsn) as db:
        assert column(db, "select id from public.mine") == []


def test_what_a_session_of_the_application_committed(fragile: Fragile) -> None:
    with _plain(fragile.dsn) as db:
        add_recipients(db, "ada")
        ids = schedule_ids(db, "ada", scheduled_at=soon(db)) + schedule_ids(db, "ada", scheduled_at=soon(db))
        moved_to = soon(db, "2 hours")
        assert call_one(db, "reschedule", id=ids[0], scheduled_at=moved_to)["rescheduled"]
        assert call_one(db, "cancel", id=ids[1])["cancelled"]
        fragile.crash()
    with _plain(fragile.dsn) as db:
        assert statuses(db, ids) == ["pending", "cancelled"]
        assert value(db, "select due_at from notify.notification where id = %s", ids[0]) == moved_to


def test_what_was_sent_stays_sent_under_its_seq(fragile: Fragile) -> None:
    with _plain(fragile.dsn) as db:
        add_recipients(db, "ada")
        ids = [id for _ in range(3) for id in schedule_ids(db, "ada")]
        assert call_one(db, "drain")["sent"] == 3
        fragile.crash()
    with connect_sync(fragile.dsn, name="test") as db:
        assert statuses(db, ids) == ["sent"] * 3
        assert column(db, "select seq from notify.notification order by id") == [1, 2, 3]
        assert mailbox(db, "ada")[0] == 3
        assert ack(db, ["ada"], [2]) == {"ada": 2}


def test_an_answer_of_the_api_outlives_the_server(fragile: Fragile) -> None:
    settings = Settings(database_url=fragile.dsn, api_key=ADMIN_KEY)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Idempotency-Key": "once"}
    body = {
        "recipients": [{"id": "ada"}],
        "title": "Coffee",
        "message": "Ready",
        "scheduled_at": "2030-01-01T00:00:00Z",
    }
    with serving(settings) as url:
        path = f"{url}/api/notifications/schedule/"
        first = httpx.post(path, json=body, headers=headers)
        assert first.status_code == 201
        fragile.crash()

        def again() -> httpx.Response | None:
            answer = httpx.post(path, json=body, headers=headers, timeout=20)
            return answer if answer.status_code != 503 else None

        replayed = until(again, 60, "answered after the restart")
    assert replayed is not None
    assert (replayed.json(), replayed.headers["Idempotency-Replayed"]) == (first.json(), "true")
    with _plain(fragile.dsn) as db:
        assert value(db, "select count(*) from notify.batch") == 1
