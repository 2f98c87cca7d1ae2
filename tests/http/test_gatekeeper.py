"""Keys that nobody knows wait in a line of their own, and clocks of API machines decide nothing about keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

import jwt
import pytest

from helpers.rows import Db
from helpers.wait import until_async
from notify import access, gatekeeper
from notify.access import new_key
from notify.config import Settings
from notify.errors import Busy, Unauthenticated
from notify.gatekeeper import Gatekeeper
from notify.gateway import admission
from notify.places import Places
from notify.postgres.pool import Pool, open_pool


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    made = await open_pool(settings, name="gateway")
    yield made
    await made.close()


@pytest.fixture
def keeper(settings: Settings, pool: Pool) -> Gatekeeper:
    return Gatekeeper(settings, pool)


class Lane:
    """Requests with unknown keys, which wait for a table that another session holds."""

    def __init__(self, keeper: Gatekeeper, holder: Db) -> None:
        self._keeper = keeper
        self._holder = holder
        self.tasks: list[asyncio.Task[Any]] = []

    def block(self) -> None:
        self._holder.execute("lock table notify.api_key in access exclusive mode")

    def flood(self, count: int) -> None:
        self.tasks += [asyncio.create_task(self._keeper.admit(new_key())) for _ in range(count)]

    async def outcomes(self) -> list[str]:
        self._holder.rollback()
        found = await asyncio.gather(*self.tasks, return_exceptions=True)
        return [type(outcome).__name__ for outcome in found]


@pytest.fixture
def lane(keeper: Gatekeeper, holder: Db) -> Lane:
    return Lane(keeper, holder)


async def test_unknown_keys_leave_connections_to_keys_that_are_known(
    keeper: Gatekeeper,
    pool: Pool,
    lane: Lane,
    key_of: Callable[..., str],
    db: Db,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = key_of("read")
    await keeper.admit(good)
    keeper._line = Places(10, 10)
    look_up, blocked = keeper._look_up, asyncio.Semaphore(0)
    inside = 0

    async def slow(hashed: bytes) -> Any:
        nonlocal inside
        if hashed != access.key_hash(good):
            inside += 1
            await blocked.acquire()
            inside -= 1
        return await look_up(hashed)

    monkeypatch.setattr(keeper, "_look_up", slow)
    lane.flood(30)

    async def full() -> bool:
        return len(keeper._line) == 10 and inside == 2

    await until_async(full, what="two are looked up, ten wait")
    # Not believed any more, so it is looked up: at once, though the line is full.
    keeper._held = type(keeper._held)(
        (hash, gatekeeper._Found(found.principal, 0)) for hash, found in keeper._held.items()
    )
    assert (await keeper.admit(good)).scopes == {"read"}
    with pytest.raises(Busy):
        await keeper.admit(new_key())
    for _ in range(30):
        blocked.release()
    outcomes = await lane.outcomes()
    assert {name: outcomes.count(name) for name in outcomes} == {"Unauthenticated": 12, "Busy": 18}
    assert keeper._looking == {}
    assert (await keeper.admit(key_of("read"))).scopes == {"read"}


async def test_guesses_of_one_address_leave_places_to_others(
    keeper: Gatekeeper, key_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that holds is as unknown as a guess to a process that has just started."""
    good, look_up, blocked = key_of("read"), keeper._look_up, asyncio.Event()

    async def slow(hashed: bytes) -> Any:
        await blocked.wait()
        return await look_up(hashed)

    monkeypatch.setattr(keeper, "_look_up", slow)
    guesses = [asyncio.create_task(keeper.admit(new_key(), "192.0.2.1")) for _ in range(1000)]

    async def refused() -> bool:
        return sum(task.done() for task in guesses) > 800

    await until_async(refused, what="the line of that address is full")
    wanted = asyncio.create_task(keeper.admit(good, "192.0.2.2"))
    blocked.set()
    assert (await wanted).scopes == {"read"}
    await asyncio.gather(*guesses, return_exceptions=True)


async def test_an_unknown_key_waits_no_longer_than_for_a_connection(
    keeper: Gatekeeper, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_settings", Settings(connect_timeout=0))
    for _ in range(2):
        await keeper._strangers.acquire()
    with pytest.raises(Busy):
        await keeper.admit(new_key())
    assert len(keeper._line) == 0


async def test_unknown_keys_push_out_no_good_one(
    keeper: Gatekeeper, key_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper, "_REFUSED_KEYS", 5)
    good, bad = key_of("read"), [new_key() for _ in range(20)]
    await keeper.admit(good)
    for key in bad:
        with pytest.raises(Unauthenticated):
            await keeper.admit(key)
    assert len(keeper._refused) == 5
    assert keeper.lookups == 21
    await keeper.admit(good)
    with pytest.raises(Unauthenticated):
        await keeper.admit(bad[-1])
    assert keeper.lookups == 21


async def test_a_key_is_looked_up_once_for_all_who_show_it(keeper: Gatekeeper, key_of: Callable[..., str]) -> None:
    good = key_of("read")
    found = await asyncio.gather(*(keeper.admit(good) for _ in range(50)))
    assert keeper.lookups == 1
    assert len({principal.name for principal in found}) == 1


async def test_who_leaves_does_not_take_a_lookup_from_the_others(
    keeper: Gatekeeper, lane: Lane, key_of: Callable[..., str]
) -> None:
    good = key_of("read")
    lane.block()
    leaves, stays = (asyncio.create_task(keeper.admit(good)) for _ in range(2))
    await asyncio.wait([leaves], timeout=0)
    leaves.cancel()
    await asyncio.wait([leaves])
    await lane.outcomes()
    assert (await stays).scopes == {"read"}
    assert leaves.cancelled()


async def test_a_revoked_key_is_refused_and_forgotten(
    keeper: Gatekeeper, key_of: Callable[..., str], db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper, "_FRESH_SECONDS", 0.0)
    good = key_of("read")
    await keeper.admit(good)
    db.execute("update notify.api_key set revoked_at = notify.now()")
    with pytest.raises(Unauthenticated):
        await keeper.admit(good)
    assert not keeper._held


class Wrong(datetime):
    """A clock that is an hour ahead, or behind."""

    off = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Wrong:
        at = datetime.now(tz) + cls.off
        return cls.fromtimestamp(at.timestamp(), tz)


@pytest.fixture(params=[1, -1], ids=["ahead", "behind"])
def wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's wall clock is an hour off; the database's is not."""
    off = 3600 * request.param
    right = time.time
    monkeypatch.setattr(Wrong, "off", timedelta(seconds=off))
    monkeypatch.setattr(admission, "datetime", Wrong)
    monkeypatch.setattr("time.time", lambda: right() + off)


@pytest.mark.usefixtures("wrong")
async def test_a_clock_that_is_wrong_decides_nothing_about_keys(keeper: Gatekeeper, key_of: Callable[..., str]) -> None:
    good, over = key_of("read", expires_in="10 minutes"), key_of("read", expires_in="-10 minutes")
    admitted = await admission.admit(keeper, good)
    assert not admitted.has_expired()
    with pytest.raises(Unauthenticated):
        await keeper.admit(over)


async def test_a_token_from_a_machine_whose_clock_is_ahead_holds(keeper: Gatekeeper) -> None:
    now = int(time.time())
    claims = {"sub": "ada", "aud": "notify", "iat": now + 3600, "exp": now + 7200}
    token = jwt.encode(claims, await keeper.signing_key(), "HS256")
    assert (await keeper.admit(token)).recipient == "ada"
