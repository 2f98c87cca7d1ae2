"""What one would write in an afternoon: an API that inserts one row a request, and does nothing else.

    NAIVE_DATABASE=… python -m uvicorn bench.yardsticks.naive:app --workers 2

No idempotency, no check that the recipient exists, no batch, no signal: a constant key, a body of msgspec, one
`insert … returning id` in autocommit on a pool of 10 connections a process.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec
from litestar import Litestar, Request, post
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from psycopg_pool import AsyncConnectionPool

TABLE = """
create table notification (
  id bigint generated always as identity primary key,
  recipient text not null,
  title text not null,
  message text not null,
  type text not null default 'system',
  priority text not null default 'normal',
  data jsonb not null default '{}',
  scheduled_at timestamptz not null,
  status text not null default 'pending',
  created_at timestamptz not null default now()
);
create index notification_due on notification (scheduled_at) where status = 'pending';
"""
APPLICATION_NAME = "naive"
CONNECTIONS = 10
KEY = "ntf_bench_naive"
_INSERT = "insert into notification (recipient, title, message, scheduled_at) values (%s, %s, %s, %s) returning id"


class Wanted(msgspec.Struct):
    """The body of a request."""

    recipients: list[str]
    title: str
    message: str
    scheduled_at: datetime


class Scheduled(msgspec.Struct):
    """The answer."""

    notification_ids: list[int]
    count: int
    scheduled_at: datetime


@post("/api/notifications/schedule/")
async def schedule(data: Wanted, request: Request[Any, Any, Any], state: State) -> Scheduled:
    """Insert the rows and answer their ids."""
    if not hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {KEY}"):
        raise NotAuthorizedException
    ids: list[int] = []
    async with state.pool.connection() as connection:
        for recipient in data.recipients:
            cursor = await connection.execute(_INSERT, (recipient, data.title, data.message, data.scheduled_at))
            ids += [row[0] async for row in cursor]
    return Scheduled(ids, len(ids), data.scheduled_at)


@asynccontextmanager
async def _pool(application: Litestar) -> AsyncIterator[None]:
    pool = AsyncConnectionPool(
        os.environ["NAIVE_DATABASE"],
        kwargs={"autocommit": True, "application_name": APPLICATION_NAME},
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        open=False,
    )
    async with pool:
        application.state.pool = pool
        yield


app = Litestar([schedule], lifespan=[_pool], openapi_config=None)
