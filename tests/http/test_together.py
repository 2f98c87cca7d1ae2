"""Group commit: requests that come together share a transaction, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from litestar import Litestar

from helpers.http import assert_problem, later, request
from helpers.rows import Db, column, rows, value
from helpers.wait import until_async
from notify.http.together import Together, _Entry
from notify.postgres.pool import Pool

_PATH = "/api/notifications/schedule/"
_TRANSACTIONS = "select count(distinct b.xmin::text) from notify.batch b"


class Crowd:
    """Requests that are held back until all of them wait, so that they go as one group."""

    def __init__(self, app: Litestar, api: httpx.AsyncClient) -> None:
        self._pool: Pool = app.state.services.pool
        self._together: Together = app.state.services.together
        self._api = api

    async def post(self, *bodies: dict[str, Any] | str, keys: dict[int, str] | None = None) -> list[httpx.Response]:
        """Post all at once; `keys` are idempotency keys by place."""
        keys = keys or {}
        async with contextlib.AsyncExitStack() as held:
            for _ in range(self._pool.max_size):
                await held.enter_async_context(self._pool.connection())
            before = self._together.groups
            posts = []
            for place, body in enumerate(bodies):
                headers = {"Idempotency-Key": keys[place]} if place in keys else {}
                text = body if isinstance(body, str) else json.dumps(body)
                posts.append(asyncio.create_task(self._api.post(_PATH, content=text, headers=headers)))
            await until_async(self._all_wait(len(bodies)), what="all requests wait together")
        await until_async(self._all_wait(0), what="they were taken")
        assert self._together.groups > before
        return await asyncio.gather(*posts)

    def _all_wait(self, count: int) -> Callable[[], Any]:
        async def look() -> bool:
            return self._together.waiting == count

        return look


@pytest.fixture
def crowd(app: Litestar, api: httpx.AsyncClient, people: list[str]) -> Crowd:
    return Crowd(app, api)


async def test_they_share_one_transaction_and_each_has_its_own_answer(crowd: Crowd, db: Db) -> None:
    bodies = [request(title=f"Coffee {n}", recipients=["ada", 1, "1"] if n % 2 else [2]) for n in range(10)]
    answers = [answer.json() for answer in await crowd.post(*bodies)]
    assert value(db, _TRANSACTIONS) == 1
    for body, answer in zip(bodies, answers, strict=True):
        assert answer["count"] == len(answer["notification_ids"]) == len(dict.fromkeys(map(str, body["recipients"])))
        assert answer["scheduled_at"] == body["scheduled_at"]
        assert answer["notifications"] == [
            {"id": id, "recipient": recipient}
            for id, recipient in zip(
                answer["notification_ids"], dict.fromkeys(map(str, body["recipients"])), strict=True
            )
        ]
        stored = rows(
            db,
            "select b.title, array_agg(n.recipient order by n.id) as recipients from notify.batch b"
            " join notify.notification n on n.batch_id = b.id where b.id = %s group by b.id",
            answer["batch_id"],
        )
        assert stored == [{"title": body["title"], "recipients": list(dict.fromkeys(map(str, body["recipients"])))}]


async def test_what_is_wrong_with_one_is_told_to_that_one_alone(crowd: Crowd, db: Db) -> None:
    answers = await crowd.post(
        request(title="first"),
        request(scheduled_at=later(hours=-1)),
        request(expires_at=later(minutes=5)),
        request(channels=["pigeon"]),
        request(recipients=["nobody"]),
        request(recipients=["nobody", "ada"], title="half"),
        request(recipients=["nobody"], unknown_recipients="reject"),
        request(scheduled_at=later(hours=-1), if_past="send", title="late"),
        request(title="last"),
    )
    assert [answer.status_code for answer in answers] == [201, 400, 400, 400, 201, 201, 400, 201, 201]
    assert_problem(answers[1], 400, "time-not-in-future", "scheduled_at")
    assert_problem(answers[2], 400, "invalid-value", "expires_at")
    assert_problem(answers[3], 400, "invalid-value", "channels")
    assert answers[4].json()["skipped"] == answers[5].json()["skipped"] == ["nobody"]
    assert answers[4].json()["count"] == 0
    assert_problem(answers[6], 400, "unknown-recipients", "recipients")
    assert column(db, "select title from notify.batch order by title") == ["first", "half", "last", "late"]


async def test_who_creates_recipients_goes_alone_once(crowd: Crowd, db: Db) -> None:
    body = request(recipients=["new"], unknown_recipients="create")
    (answer,) = await crowd.post(body)
    assert answer.json()["count"] == 1
    (answer,) = await crowd.post(body)
    assert answer.json()["count"] == 1
    assert value(db, "select count(*) from notify.notification where recipient = 'new'") == 2


async def test_a_locked_recipient_holds_up_only_requests_for_them(
    crowd: Crowd, db: Db, holder: Db, api: httpx.AsyncClient
) -> None:
    holder.execute("select from notify.mailbox where recipient = 'ada' for update")
    waiting = asyncio.create_task(crowd.post(request(recipients=[1]), request(recipients=["ada"]), request()))

    async def one_is_stored() -> bool:
        return bool(value(db, "select count(*) from notify.batch") == 1)

    await until_async(one_is_stored, what="the request for another recipient is stored")
    assert (await api.post(_PATH, json=request(recipients=[2]))).status_code == 201
    assert not waiting.done()
    holder.rollback()
    assert [answer.status_code for answer in await waiting] == [201, 201, 201]


async def test_keys_are_kept_with_their_own_answers(crowd: Crowd, api: httpx.AsyncClient, db: Db) -> None:
    bodies = [request(title=f"Coffee {n}") for n in range(4)]
    keys = {0: "zero", 1: "one", 3: "three"}
    answers = await crowd.post(*bodies, keys=keys)
    assert value(db, _TRANSACTIONS) == 1
    for place, key in keys.items():
        again = await api.post(_PATH, json=bodies[place], headers={"Idempotency-Key": key})
        assert (again.status_code, again.content) == (201, answers[place].content)
        assert again.headers["idempotency-replayed"] == "true"
    assert value(db, "select count(*) from notify.batch") == 4


async def test_repeated_and_reused_keys_in_one_group(crowd: Crowd, api: httpx.AsyncClient, db: Db) -> None:
    first = request(title="first")
    (kept,) = await crowd.post(first, keys={0: "key"})
    answers = await crowd.post(first, request(title="other"), request(title="new"), keys={0: "key", 2: "another"})
    assert answers[0].content == kept.content
    assert answers[0].headers["idempotency-replayed"] == "true"
    (mismatch,) = await crowd.post(request(title="mismatch"), keys={0: "key"})
    assert_problem(mismatch, 422, "idempotency-key-reused", "Idempotency-Key")
    assert column(db, "select title from notify.batch order by id") == ["first", "other", "new"]


async def test_a_refused_request_may_be_mended_under_its_key(crowd: Crowd, api: httpx.AsyncClient) -> None:
    answers = await crowd.post(request(scheduled_at=later(hours=-1)), request(), keys={0: "mended", 1: "good"})
    assert [answer.status_code for answer in answers] == [400, 201]
    mended = await api.post(_PATH, json=request(), headers={"Idempotency-Key": "mended"})
    assert mended.status_code == 201


async def test_the_same_key_twice_at_once_is_stored_once(
    app: Litestar, api: httpx.AsyncClient, people: list[str], db: Db
) -> None:
    body = request()
    answers = await asyncio.gather(*(api.post(_PATH, json=body, headers={"Idempotency-Key": "same"}) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert value(db, "select count(*) from notify.batch") == 1


_TRIGGER = """
create function public.spoil() returns trigger language plpgsql security definer as $$
begin
  if new.title = 'refused' then
    raise exception 'not this one';
  elsif new.title = 'killed' then
    perform pg_terminate_backend(pg_backend_pid());
  end if;
  return new;
end
$$;
create constraint trigger spoil after insert on notify.batch deferrable initially {when} for each row
execute function public.spoil();
grant execute on function public.spoil() to public
"""


@pytest.mark.parametrize("when", ["immediate", "deferred"])
@pytest.mark.parametrize("keyed", [False, True])
async def test_one_that_the_applications_trigger_refuses_takes_no_other_with_it(
    crowd: Crowd, db: Db, when: str, keyed: bool
) -> None:
    db.execute(_TRIGGER.format(when=when).encode())
    bodies = [request(title="first"), request(title="refused"), request(title="last")]
    answers = await crowd.post(*bodies, keys={1: "key", 2: "other"} if keyed else None)
    assert [answer.status_code for answer in answers] == [201, 500, 201]
    assert column(db, "select title from notify.batch order by title") == ["first", "last"]


async def test_whom_a_trigger_wants_not_shifts_nobodys_answer(crowd: Crowd, db: Db, api: httpx.AsyncClient) -> None:
    db.execute(
        "create function public.mute() returns trigger language plpgsql as"
        " $$ begin return case when new.recipient <> '1' then new end; end $$;"
        " create trigger mute before insert on notify.notification for each row execute function public.mute()"
    )
    bodies = [request(recipients=[1], title="muted"), request(recipients=[2]), request(recipients=[1, "ada"])]
    muted, other, half = await crowd.post(*bodies, keys={0: "muted", 1: "other"})
    assert (muted.json()["notifications"], muted.json()["skipped"]) == ([], ["1"])
    assert [placed["recipient"] for placed in other.json()["notifications"]] == ["2"]
    assert [placed["recipient"] for placed in half.json()["notifications"]] == ["ada"]
    assert half.json()["skipped"] == ["1"]
    assert value(db, "select count(*) from notify.batch") == 3
    alone = await api.post(_PATH, json=request(recipients=[*map(str, range(3, 30)), 1, 2]))
    assert (alone.json()["count"], alone.json()["skipped"][-1]) == (1, "1")


async def test_data_that_only_postgres_refuses_is_one_requests_fault(crowd: Crowd, db: Db) -> None:
    answers = await crowd.post(request(), request(data={"x": 0}), request(title="last"))
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    tiny = '{"recipients":["ada"],"title":"tiny","message":"M","data":{"x":1e-20000}}'
    answers = await crowd.post(request(), tiny, request(title="last"))
    assert [answer.status_code for answer in answers] == [201, 400, 201]
    assert value(db, "select count(distinct b.xmin::text) from notify.batch b") == 2


async def test_a_connection_that_is_lost_is_told_to_its_group_and_not_to_the_next(
    crowd: Crowd, api: httpx.AsyncClient, db: Db
) -> None:
    db.execute(_TRIGGER.format(when="immediate").encode())
    answers = await crowd.post(request(title="first"), request(title="killed"))
    for answer in answers:  # whether it was stored is unknown to the API, so nobody tries again
        assert_problem(answer, 503, "unavailable")
    assert value(db, "select count(*) from notify.batch") == 0
    assert (await api.post(_PATH, json=request())).status_code == 201


async def test_callers_take_turns(app: Litestar, api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    """Of more than fit into one group, nobody's are all in front."""
    together = Together(app.state.services.pool)
    for caller, count in (("busy", 120), ("quiet", 3)):
        for number in range(count):
            _wait_in_line(together, caller, number)
    group = [entry.request.decode() for entry in together._take()]
    assert len(group) == 50
    assert group[:6] == ["busy 0", "quiet 0", "busy 1", "quiet 1", "busy 2", "quiet 2"]
    assert together.waiting == 73


def _wait_in_line(together: Together, caller: str, number: int) -> None:
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    entry = _Entry(f"{caller} {number}".encode(), None, lambda *_: pytest.fail("never made"), answered)
    together._waiting.setdefault(caller, deque()).append(entry)
