"""One run: traffic over a world, a nemesis in it, and at the end everything that is needed to judge it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import psycopg

from faults.chaos import outside, rows
from faults.chaos.callers import SqlCaller
from faults.chaos.checker import check
from faults.chaos.clients import HttpCaller, Names
from faults.chaos.deliveries import OUTSIDE
from faults.chaos.faults import PREPARE
from faults.chaos.history import Heard, History, Stored
from faults.chaos.listeners import Listener, Manner, never_read, talk_garbage
from faults.chaos.nemesis import Nemesis, Script, settled
from faults.chaos.observer import Observer, Recovery
from faults.chaos.pace import meanwhile, pause
from faults.chaos.verdicts import Verdict
from faults.chaos.world import KEY, World
from helpers.wait import until_async

RECIPIENTS = tuple(f"r{number}" for number in range(30))
_HTTP_CALLERS = 6
_SQL_CALLERS = 3
_PACE_SECONDS = 0.15
_NEVER_READING = 3
_GARBAGE_TALKERS = 2
_SETTLE_SECONDS = 120.0
_START_SECONDS = 60.0
_KNOWN = "select from notify.channel where name = %s"
_TO_DELIVER = "select count(*) from notify.delivery where status in ('pending', 'leased')"
_SOON = "select count(*) from notify.notification where status = 'pending' and due_at < now() + interval '1 minute'"


@dataclass(slots=True)
class Result:
    """What a run showed. `settled` is empty where everything came to rest; else it says what did not."""

    seed: int
    seconds: float = 0.0
    history: History = field(default_factory=History)
    verdicts: list[Verdict] = field(default_factory=list)
    stored: Stored | None = None
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    exits: dict[str, dict[int, int]] = field(default_factory=dict)
    recovery: float = 0.0
    waited_for: str = ""
    unsettled: str = ""


class Traffic:
    """Callers and listeners over a world."""

    def __init__(self, world: World, rng: random.Random, history: History) -> None:
        self._world, self._rng, self._history = world, rng, history
        self.urls = [api.url for api in world.apis]
        self._tokens: dict[str, str] = {}
        names = Names(random.Random(rng.random()), RECIPIENTS)
        dsns = [world.dsn, f"host=127.0.0.1 port={world.sql_link.port} user=postgres dbname=notify"]
        self.callers: list[HttpCaller | SqlCaller] = [
            *(HttpCaller(self.urls, names, history) for _ in range(_HTTP_CALLERS)),
            *(SqlCaller(dsns, names, history) for _ in range(_SQL_CALLERS)),
        ]
        self._listeners: list[Listener] = []
        self.manners = [Manner(acks=n % 2 == 0, acked=n % 4 == 0, slow=n % 5 == 1) for n in range(len(RECIPIENTS))]

    async def register(self) -> None:
        """Recipients and their tokens, by the first API that serves."""
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=10) as client:
            url = self._world.receiver.url
            people = [{"id": id, "addresses": {OUTSIDE: f"{url}/{id}"}} for id in RECIPIENTS]
            body = {"recipients": people}
            (await client.post(f"{self.urls[0]}/api/recipients", json=body)).raise_for_status()
            for id in RECIPIENTS:
                answer = await client.post(f"{self.urls[0]}/api/recipients/{id}/tokens")
                self._tokens[id] = answer.raise_for_status().json()["token"]

    @asynccontextmanager
    async def listening(self, *, harm: bool = True) -> AsyncIterator[None]:
        """All listeners at work, and those who do harm."""
        works = []
        for id, manner in zip(RECIPIENTS, self.manners, strict=True):
            heard = self._history.listeners.setdefault(id, Heard(id))
            works.append(Listener(heard, self._tokens[id], manner, self._rng.random()).run(self.urls))
        for number in range(_NEVER_READING if harm else 0):
            token = self._tokens[RECIPIENTS[number]]
            works.append(never_read(token, self.urls, random.Random(self._rng.random())))
        for number in range(_GARBAGE_TALKERS if harm else 0):
            token = self._tokens[RECIPIENTS[number]]
            works.append(talk_garbage(token, self.urls, random.Random(self._rng.random())))
        async with meanwhile(*works):
            yield

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """All callers at work; afterwards each has brought its last call to an end."""
        async with asyncio.TaskGroup() as calls:
            for caller in self.callers:
                calls.create_task(caller.run(_PACE_SECONDS))
            try:
                yield
            finally:
                for caller in self.callers:
                    caller.stop()

    def unheard(self) -> str:
        """What is still to come: rows that are soon due, deliveries, and frames."""
        with self._world.connect() as db:
            ((soon,),) = db.execute(_SOON).fetchall()
            ((left,),) = db.execute(_TO_DELIVER).fetchall()
            ends = dict(db.execute("select recipient, last_seq from notify.mailbox").fetchall())
        behind = [id for id, heard in self._history.listeners.items() if heard.handled < ends[id]]
        missing = {f"{soon} pending": soon, f"{left} to be delivered": left, f"behind: {behind}": behind}
        return ", ".join(text for text, count in missing.items() if count)


async def run(
    world: World, seed: int, script: Script, calm_seconds: float = 0.0, storm_seconds: float = math.inf
) -> Result:
    """The whole run: so long a calm, then the storms of the script, none of which begins after `storm_seconds`."""
    rng = random.Random(seed)
    result = Result(seed)
    nemesis = Nemesis(world, random.Random(rng.random()))
    observer = Observer(world, lambda: nemesis.lasting)
    begun = time.monotonic()
    await asyncio.to_thread(_prepare, world)
    async with meanwhile(world.keep(), observer.watch(), observer.count_overdue(), observer.ask_ready()):
        if not await settled(observer, _START_SECONDS):
            said = [slot.said[-1] for slot in world.slots if slot.said]
            raise AssertionError(f"did not start: {observer.why}; {said}")
        await until_async(lambda: asyncio.to_thread(_is_known, world), _START_SECONDS, "a worker serves the channel")
        observer.recovery = Recovery()
        traffic = Traffic(world, rng, result.history)
        world.receiver.answer_by(outside.drawn_answers(random.Random(rng.random())))
        await traffic.register()
        async with traffic.listening():
            async with traffic.calling():
                await pause(calm_seconds)
                await nemesis.run(script, observer, storm_seconds)
            world.receiver.answer(outside.GOOD)
            result.unsettled = await _settle(traffic, observer)
            result.history.requests += outside.as_requests(world.receiver.requests)
            result.stored = await asyncio.to_thread(_read, world)
    result.seconds, result.recovery = time.monotonic() - begun, observer.recovery.longest
    result.waited_for = observer.recovery.reason
    result.verdicts = check(result.history, result.stored)
    result.struck, result.missed, result.faults = nemesis.struck, nemesis.missed, nemesis.told
    result.exits = {slot.name: dict(slot.exits) for slot in world.slots}
    return result


async def _settle(traffic: Traffic, observer: Observer) -> str:
    """Wait until all that is due was sent and heard; what is missing if that does not happen."""
    for manner in traffic.manners:
        manner.slow = False
    loop = asyncio.get_running_loop()
    ends, missing = loop.time() + _SETTLE_SECONDS, "-"
    while missing and loop.time() < ends:
        await pause(0.2)
        missing = observer.why or await asyncio.to_thread(traffic.unheard)
    return missing


def _is_known(world: World) -> bool:
    with world.connect() as db:
        return db.execute(_KNOWN, (OUTSIDE,)).rowcount > 0


def _prepare(world: World) -> None:
    with world.connect() as db, contextlib.suppress(psycopg.errors.DuplicateSchema):
        db.execute(PREPARE)


def _read(world: World) -> Stored:
    with world.connect() as db, db.transaction():
        db.execute("set transaction isolation level repeatable read")
        return rows.read(db)
