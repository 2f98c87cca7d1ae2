"""The checker over the real service: calm traffic has no verdict, and what is broken by hand is seen."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import msgspec
import psycopg
import pytest

from faults.chaos import rows
from faults.chaos.checker import check
from faults.chaos.clients import content, judge, written
from faults.chaos.history import Call, Frame, History
from faults.chaos.listeners import Listener, Manner
from faults.chaos.pace import meanwhile
from faults.chaos.report import is_good, table
from faults.chaos.run import Result, run
from faults.chaos.verdicts import Kind
from faults.chaos.world import KEY, World, world
from helpers.wait import until_async

_HEADERS = {"Authorization": f"Bearer {KEY}"}


class Calm(NamedTuple):
    """A world after some calm traffic; its processes still run."""

    world: World
    result: Result

    @property
    def history(self) -> History:
        return self.result.history

    def ask(self, call: Call, method: str, path: str, **options: object) -> Call:
        """Ask the first API, and note it as callers do."""
        if call not in self.history.calls:
            self.history.begin(call)
        headers = _HEADERS | ({"Idempotency-Key": call.key} if call.key else {})
        assert judge(call, httpx.request(method, self.world.apis[0].url + path, headers=headers, timeout=30, **options))  # type: ignore[arg-type]
        return call

    def schedule(self, reference: str, recipient: str, delay: float, key: str | None = None) -> Call:
        """One notification, acknowledged."""
        call = Call("schedule", time.time(), key=key, reference=reference, recipients=(recipient,))
        call.due_at = round(call.started + delay, 3)
        return self._schedule(call)

    def _schedule(self, call: Call) -> Call:
        assert call.due_at is not None
        body = content(call) | {"recipients": call.recipients, "scheduled_at": written(call.due_at)}
        self.ask(call, "POST", "/api/notifications/schedule/", json=body)
        call.ids = {one["recipient"]: one["id"] for one in msgspec.json.decode(call.answers[0].body)["notifications"]}
        return call

    def again(self, call: Call) -> None:
        """Repeat it."""
        self._schedule(call)

    def kinds(self, about: str, db: psycopg.Connection[object]) -> set[Kind]:
        """Verdicts that speak of this, by the rows that this connection sees."""
        return {verdict.kind for verdict in check(self.history, rows.read(db)) if about in verdict.text}


@pytest.fixture(scope="module")
def calm() -> Iterator[Calm]:
    with world() as made:
        yield Calm(made, asyncio.run(run(made, 1, [], calm_seconds=5)))


@pytest.fixture
def undone(calm: Calm) -> Iterator[psycopg.Connection[object]]:
    """A transaction that is rolled back."""
    with calm.world.connect() as db, db.transaction(force_rollback=True):
        yield db


def _some_frame(calm: Calm) -> Frame:
    """One that was heard of what is stored and was acknowledged: of a call without an answer nothing is known."""
    known = {id for call in calm.history.calls if call.outcome == "ok" for id in call.ids.values()}
    return next(frame for frame in calm.history.frames if frame.seq > 1 and frame.id in known)


def test_calm_run_has_no_verdict(calm: Calm) -> None:
    assert is_good(calm.result), table(calm.result)
    assert sum(1 for _ in calm.history.frames) > 50
    assert len(calm.history.requests) > 10


def test_a_dropped_row(calm: Calm, undone: psycopg.Connection[object]) -> None:
    frame = _some_frame(calm)
    undone.execute("delete from notify.notification where id = %s", (frame.id,))
    assert calm.kinds(f"{frame.id} of {frame.recipient}", undone) == {Kind.LOST}
    assert Kind.HOLE in calm.kinds(f"{frame.recipient}: no seq", undone)


def test_a_doubled_seq(calm: Calm, undone: psycopg.Connection[object]) -> None:
    frame = _some_frame(calm)
    undone.execute("drop index notify.notification_stream")
    undone.execute("update notify.notification set seq = seq - 1 where id = %s", (frame.id,))
    assert calm.kinds(f"{frame.recipient}: seq {frame.seq - 1}", undone) == {Kind.DOUBLED}
    assert calm.kinds(f"{frame.recipient}: frame {frame.seq} of {frame.id}", undone) == {Kind.DOUBLED}


def test_a_delivery_whose_attempts_are_gone(calm: Calm, undone: psycopg.Connection[object]) -> None:
    """Two requests or more, and nothing that tells of them."""
    counts = Counter(request.id for request in calm.history.requests)
    ((id, _),) = counts.most_common(1)
    assert calm.kinds(f": {id} of", undone) == set()
    undone.execute(
        "delete from notify.attempt where delivery_id = (select id from notify.delivery where notification_id = %s)",
        (id,),
    )
    assert calm.kinds(f": {id} of", undone) == {Kind.DOUBLED, Kind.WRONG}


def test_a_delivery_that_is_taken_back(calm: Calm, undone: psycopg.Connection[object]) -> None:
    id = calm.history.requests[0].id
    undone.execute("update notify.delivery set status = 'pending', sent_at = null where notification_id = %s", (id,))
    assert Kind.LOST in calm.kinds(f": {id} of", undone)


def test_a_cancelled_one_that_is_pending_again(calm: Calm, undone: psycopg.Connection[object]) -> None:
    id = calm.schedule("cancel me", "r1", 3600).ids["r1"]
    calm.ask(Call("cancel", time.time(), id=id), "DELETE", f"/api/notifications/{id}/cancel_scheduled/")
    assert calm.kinds(f"{id} ", undone) == set()
    undone.execute(
        "update notify.notification set status = 'pending', cancelled_at = null, cancel_reason = null where id = %s",
        (id,),
    )
    assert calm.kinds(f"{id} ", undone) == {Kind.CANCELLED_BUT_SENT}


def test_a_reschedule_that_was_lost(calm: Calm, undone: psycopg.Connection[object]) -> None:
    call = calm.schedule("move me", "r1", 3600)
    id, moved = call.ids["r1"], Call("reschedule", time.time(), due_at=round(time.time() + 7200, 3))
    moved.id = id
    assert moved.due_at is not None
    calm.ask(moved, "PATCH", f"/api/notifications/{id}", json={"scheduled_at": written(moved.due_at)})
    assert calm.kinds("move me", undone) == set()
    undone.execute("update notify.notification set due_at = due_at - interval '1 hour' where id = %s", (id,))
    assert calm.kinds("move me", undone) == {Kind.RESCHEDULE}


def test_a_swallowed_idempotency_record(calm: Calm, undone: psycopg.Connection[object]) -> None:
    call = calm.schedule("once", "r2", 3600, key="once-only")
    calm.again(call)
    with calm.world.connect() as db:
        assert calm.kinds("once", db) == set()
        assert db.execute("delete from notify.idempotency where key = 'once-only'").rowcount == 1
        calm.again(call)
        assert calm.kinds("once", db) == {Kind.DOUBLED, Kind.REPLAY}


def test_one_sent_early(calm: Calm) -> None:
    """A drain whose clock is an hour ahead."""
    id = calm.schedule("early", "r3", 1800).ids["r3"]
    with calm.world.connect() as db:
        db.execute("set notify.clock_offset = '1 hour'")
        db.execute("select notify.drain(p_only => array[%s]::bigint[])", (id,))
        asyncio.run(_hear(calm, "r3", _token(calm, "r3"), id))
        assert Kind.EARLY in calm.kinds("early", db)


def _token(calm: Calm, recipient: str) -> str:
    answer = httpx.post(f"{calm.world.apis[0].url}/api/recipients/{recipient}/tokens", headers=_HEADERS)
    return str(answer.raise_for_status().json()["token"])


async def _hear(calm: Calm, recipient: str, token: str, id: int) -> None:
    """Listen until this one has come."""
    url, heard = calm.world.apis[0].url, calm.history.listeners[recipient]
    listener = Listener(heard, token, Manner(acked=True), seed=1)

    async def came() -> bool:
        return any(isinstance(event, Frame) and event.id == id for event in heard.events)

    async with meanwhile(listener.run([url])):
        await until_async(came, 30)
