"""The faults: each is a context manager that does its harm, and undoes at its end what does not end by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, LiteralString, NamedTuple

import psycopg

from faults.chaos.world import Slot, World

Act = Callable[[World, random.Random], AbstractAsyncContextManager[None]]

# A write fails while the fuse is above 0. A sequence, as what a failing transaction counts there is not rolled back.
# The service writes as a role that knows nothing of this schema, so the trigger brings rights of its own.
PREPARE = """
create schema chaos;
create sequence chaos.fuse increment -1 minvalue -1000000000 maxvalue 1000 start 1;
select setval('chaos.fuse', 1), nextval('chaos.fuse');
create function chaos.fail() returns trigger language plpgsql security definer as $$
begin
  if (select last_value from chaos.fuse) > 0 then
    if nextval('chaos.fuse') >= 0 then
      raise exception 'chaos: this write fails';
    end if;
  end if;
  return new;
end
$$;
create trigger chaos before update on notify.notification for each row execute function chaos.fail();
create trigger chaos before update on notify.mailbox for each row execute function chaos.fail();
create trigger chaos before insert or update on notify.delivery for each row execute function chaos.fail();
create trigger chaos before insert on notify.attempt for each row execute function chaos.fail();
"""
_END_LISTENERS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'notify-listener'"
_END_TICKER_IN_A_DRAIN = """
do $$
declare
  v_pid integer;
begin
  for turn in 1..3000 loop
    perform pg_stat_clear_snapshot();
    select a.pid into v_pid from pg_stat_activity a
    where a.application_name like 'notify-ticker%' and (turn = 3000 or a.state = 'active' and a.query ilike '%drain%');
    exit when found;
  end loop;
  perform pg_terminate_backend(v_pid);
end
$$
"""
_LOSE_SIGNALS = "delete from notify.wakeup; delete from notify_jobs.procrastinate_jobs"
_MUDDLE_JOBS = """
insert into notify_jobs.procrastinate_jobs (queue_name, task_name, priority, args, status, scheduled_at)
select queue_name, task_name, priority, args, 'todo', scheduled_at
from notify_jobs.procrastinate_jobs where status = 'todo';
update notify_jobs.procrastinate_jobs set status = 'doing' where status = 'todo' and random() < 0.5
"""
_END_LEASES = """
update notify.delivery set leased_until = clock_timestamp() - interval '1 second' where status = 'leased';
select notify.rescue_deliveries(1000)
"""
_LOCK_ROWS = "select from notify.notification where status = 'pending' order by due_at limit 30 for update skip locked"
_LOCK_SENDING = "select from notify.notification where status = 'sending' order by id limit 30 for update skip locked"
_LOCK_MAILBOX = "select from notify.mailbox order by random() limit 1 for update skip locked"


class Fault(NamedTuple):
    """What it does, and how many seconds it may last."""

    act: Act
    shortest: float = 0.0
    longest: float = 0.0


def _killing(slots: Callable[[World], list[Slot]]) -> Act:
    @asynccontextmanager
    async def act(world: World, rng: random.Random) -> AsyncIterator[None]:
        rng.choice(slots(world)).signal(signal.SIGKILL)
        yield

    return act


def _stopping(slots: Callable[[World], list[Slot]]) -> Act:
    @asynccontextmanager
    async def act(world: World, rng: random.Random) -> AsyncIterator[None]:
        pid = rng.choice(slots(world)).signal(signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return act


def _on_link(begin: Callable[[Any, random.Random], None], end: Callable[[Any], None] | None = None) -> Act:
    @asynccontextmanager
    async def act(world: World, rng: random.Random) -> AsyncIterator[None]:
        link = rng.choice(world.links)
        begin(link, rng)
        try:
            yield
        finally:
            if end is not None:
                end(link)

    return act


def _stating(statement: LiteralString) -> Act:
    @asynccontextmanager
    async def act(world: World, rng: random.Random) -> AsyncIterator[None]:
        async with await _connect(world) as connection:
            await connection.execute("set search_path to notify_jobs; set lock_timeout to '2s'")
            await connection.execute(statement)
        yield

    return act


@asynccontextmanager
async def _restart(world: World, rng: random.Random) -> AsyncIterator[None]:
    async with world.restarting:
        await asyncio.to_thread(world.restart_server)
    yield


@asynccontextmanager
async def _fail_writes(world: World, rng: random.Random) -> AsyncIterator[None]:
    async with await _connect(world) as connection:
        await connection.execute("select setval('chaos.fuse', %s)", (rng.randint(1, 2),))
    yield


@asynccontextmanager
async def _lock(world: World, rng: random.Random) -> AsyncIterator[None]:
    async with await _connect(world) as connection, connection.transaction(force_rollback=True):
        await connection.execute(_LOCK_ROWS)
        await connection.execute(_LOCK_SENDING)
        await connection.execute(_LOCK_MAILBOX)
        yield


async def _connect(world: World) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        world.dsn, autocommit=True, application_name="chaos", connect_timeout=5
    )


def _apis(world: World) -> list[Slot]:
    return list(world.apis)


def _workers(world: World) -> list[Slot]:
    return world.workers


FAULTS: dict[str, Fault] = {
    "kill api": Fault(_killing(_apis)),
    "kill worker": Fault(_killing(_workers)),
    "end listeners": Fault(_stating(_END_LISTENERS)),
    "end ticker": Fault(_stating(_END_TICKER_IN_A_DRAIN)),
    "restart server": Fault(_restart),
    "freeze": Fault(_on_link(lambda link, _: link.freeze(), lambda link: link.thaw()), 1, 15),
    "cut": Fault(_on_link(lambda link, _: link.cut())),
    "refuse": Fault(_on_link(lambda link, _: link.refuse(), lambda link: link.accept()), 1, 5),
    "delay": Fault(_on_link(lambda link, rng: link.delay(rng.uniform(0.05, 0.5)), lambda link: link.delay(0)), 2, 8),
    "half open": Fault(_on_link(lambda link, _: link.half_open())),
    "stop api": Fault(_stopping(_apis), 1, 40),
    "stop worker": Fault(_stopping(_workers), 1, 40),
    "fail a write": Fault(_fail_writes),
    "lock rows": Fault(_lock, 1, 5),
    "lose signals": Fault(_stating(_LOSE_SIGNALS)),
    "muddle jobs": Fault(_stating(_MUDDLE_JOBS)),
    # As if their workers had been paused for long: they go on, while others take over at once.
    "end leases": Fault(_stating(_END_LEASES)),
}
