"""An answer that was lost leaves no doubt: the same request under the same Idempotency-Key gives the first outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import psycopg
import pytest

from helpers.http import ADMIN_KEY, request
from helpers.proxy import Proxy
from helpers.rows import Db, add_recipients, column, schedule_ids, soon, statuses, value
from helpers.server import serving
from helpers.wait import until_async
from notify.config import Settings

_PATH = "/api/notifications/schedule/"
_AT = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
# Commits wait until the test lets them: in a deferred trigger, after everything of the request was done.
_GATE = """
create function notify.gate() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(43);
  return null;
end $$;
create constraint trigger gate after insert on notify.batch deferrable initially deferred for each row
execute function notify.gate()
"""


@pytest.fixture
async def api(linked: Settings) -> AsyncIterator[httpx.AsyncClient]:
    with serving(linked) as url:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Idempotency-Key": "once"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            yield client


async def _at_its_commit(
    api: httpx.AsyncClient, db: Db, holder: Db, body: dict[str, object]
) -> asyncio.Task[httpx.Response]:
    """A request that has done everything, and whose commit waits for the holder's."""
    add_recipients(db, "ada")
    db.execute(_GATE)
    holder.execute("select pg_advisory_xact_lock(43)")
    under_way = asyncio.create_task(api.post(_PATH, json=body))

    async def committing() -> bool:
        return bool(value(db, _AT) == 1)

    await until_async(committing, what="the commit waits")
    return under_way


async def _first_outcome(api: httpx.AsyncClient, body: dict[str, object]) -> httpx.Response:
    """Repeat until it is known."""
    answers: list[httpx.Response] = []

    async def known() -> bool:
        answers.append(await api.post(_PATH, json=body))
        return answers[-1].status_code not in (409, 503)

    await until_async(known, timeout=60)
    return answers[-1]


@pytest.mark.parametrize("cut", ["before the commit", "at the commit", "the client's connection"])
async def test_cut_off_while_it_was_under_way(
    api: httpx.AsyncClient, link: Proxy, db: Db, holder: Db, cut: str
) -> None:
    body = request()
    first = await _at_its_commit(api, db, holder, body)
    if cut == "the client's connection":
        first.cancel()
        await asyncio.wait({first})
    elif cut == "before the commit":
        db.execute(f"select pg_terminate_backend(pid) {_AT.removeprefix('select count(*)')}".encode())
        assert (await first).status_code == 503
    else:
        link.cut()
        assert (await first).status_code == 503
    holder.commit()
    known = await _first_outcome(api, body)
    assert known.status_code == 201
    (id,) = known.json()["notification_ids"]
    again = await api.post(_PATH, json=body)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (known.json(), "true")
    assert column(db, "select id from notify.notification") == [id]


async def test_an_api_that_froze_within_a_request_lets_go_of_its_locks(
    api: httpx.AsyncClient, link: Proxy, db: Db, holder: Db, second: Db
) -> None:
    """Long before others have waited a minute for what it holds."""
    add_recipients(db, "ada")
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    db.execute(_GATE.replace("notify.batch deferrable initially deferred", "notify.idempotency").encode())
    holder.execute("select pg_advisory_xact_lock(43)")
    frozen = asyncio.create_task(api.delete(f"/api/notifications/{id}/cancel_scheduled/"))

    async def at_the_gate() -> bool:
        return bool(value(db, _AT) == 1)

    await until_async(at_the_gate, what="its answer is about to be kept")
    link.freeze()
    holder.commit()

    async def free() -> bool:
        with suppress(psycopg.errors.LockNotAvailable):
            return bool(value(second, "select id from notify.notification where id = %s for update nowait", id))
        return False

    assert not await free()
    await until_async(free, timeout=15, what="the lock is free")
    assert statuses(db, [id]) == ["pending"]
    link.thaw()
    assert (await frozen).status_code == 503


async def test_while_the_first_is_under_way_the_second_is_told_so(api: httpx.AsyncClient, db: Db, holder: Db) -> None:
    body = request()
    first = await _at_its_commit(api, db, holder, body)
    assert (await api.post(_PATH, json=body)).status_code == 409
    holder.commit()
    assert (await first).status_code in (201, 503)  # it waits a second for a lock at most
    assert (await _first_outcome(api, body)).status_code == 201
    assert value(db, "select count(*) from notify.batch") == 1
