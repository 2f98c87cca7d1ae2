"""Requests that wait for a locked row fill their pool of connections, and no other: sockets and probes go on."""

from __future__ import annotations

import asyncio
import json

import httpx
from websockets.asyncio.client import connect

from conftest import Connect
from helpers.http import ADMIN_KEY
from helpers.rows import Db, add_recipients, schedule_ids, soon, value
from helpers.server import serving
from helpers.wait import until_async
from notify.access import new_token
from notify.config import Settings

_KEY = {"Authorization": f"Bearer {ADMIN_KEY}"}
_WAITING = (
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and application_name = 'notify-api' and wait_event_type = 'Lock'"
)


async def test_sockets_and_probes_do_not_wait_in_their_line(dsn: str, db: Db, connect: Connect) -> None:
    add_recipients(db, "ada")
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    # Not the fixed key: to check a token, the server has to read the key that signs them.
    token, _ = new_token(value(db, "select value from notify.secret where name = 'token_key'"), "ada", 600)
    holder = connect(autocommit=False)
    holder.execute("select from notify.notification where id = %s for update", (id,))

    async def all_wait() -> bool:
        return bool(value(db, _WAITING) == 1)

    with serving(Settings(database_url=dsn, api_key=ADMIN_KEY, pool_max=1)) as url:
        async with httpx.AsyncClient(base_url=url, headers=_KEY, timeout=20) as api:
            path = f"/api/notifications/{id}/cancel_scheduled/"
            cancelling = [asyncio.create_task(api.delete(path)) for _ in range(4)]
            await until_async(all_wait, what="the only connection waits for the lock")
            assert (await _hello(url, token))["recipient"] == "ada"
            assert (await api.get("/health/ready")).status_code == 200
            assert not all(task.done() for task in cancelling)
            holder.commit()
            answers = await asyncio.gather(*cancelling)
    assert {answer.status_code for answer in answers} <= {200, 409, 503}


async def _hello(url: str, token: str) -> dict[str, str]:
    address = f"{url.replace('http', 'ws')}/ws"
    header = {"Authorization": f"Bearer {token}"}
    async with connect(address, additional_headers=header) as socket, asyncio.timeout(10):
        hello: dict[str, str] = json.loads(await socket.recv())
        return hello
