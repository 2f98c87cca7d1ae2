"""Nobody learns what is not theirs: the same answer, byte for byte, whether it is there or not, and without a look."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from helpers.http import request
from helpers.outside import CHANNEL, add_channel, add_reachable, delivery
from helpers.rows import Db, add_recipients, drain, schedule
from notify.access import new_token
from notify.errors import _BY_SQLSTATE
from notify.http.routes import Doc

SECRET = "what bob must not know of ada"


def declared(app: Litestar) -> Iterator[Doc]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if isinstance(doc := handler.opt.get("doc"), Doc):
                    yield doc


def urls(doc: Doc, id: int | str, recipient: str) -> tuple[str, dict[str, str]]:
    """A route with one thing in its place."""
    given: dict[str, str] = {}
    if doc.query is not None and "recipient" in doc.query.__struct_fields__:
        given["recipient"] = recipient
    if doc.query is not None and "reference" in doc.query.__struct_fields__:
        given["reference"] = f"of:{recipient}"
    return re.sub(r"\{\w+:str\}", str(id), doc.path), given


def bare(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    kept = {name: value for name, value in answer.headers.items() if name not in ("date",)}
    return answer.status_code, kept, answer.content


@pytest.fixture
def stored(db: Db) -> dict[str, int | str]:
    """One of each kind, of bob."""
    add_recipients(db, "ada")
    add_channel(db)
    add_reachable(db, "bob")
    (row,) = schedule(db, "bob", title=SECRET, reference="of:bob", type="of bob", channels=["inbox", CHANNEL])
    drain(db)
    db.execute("select notify.set_type('of bob', '{\"required\": true}')")
    db.execute('select notify.put_template(\'t\', \'en\', \'{"en": {"title": "T", "message": "M"}}\')')
    return {
        "notifications": row["notification_id"],
        "batches": row["batch_id"],
        "deliveries": delivery(db, row["notification_id"])["id"],
        "recipients": "bob",
        "channels": CHANNEL,
        "types": "of bob",
        "templates": "t",
    }


def there_and_not(doc: Doc, stored: dict[str, int | str]) -> list[tuple[str, dict[str, str]]]:
    there = stored[doc.path.split("/")[2]] if "{" in doc.path else 1
    gone: int | str = "nobody" if isinstance(there, str) else 999_999
    return [urls(doc, there, "bob"), urls(doc, gone, "nobody")]


async def _compare(app: Litestar, client: httpx.AsyncClient, doc: Doc, stored: dict[str, int | str]) -> int:
    """The status of the refusal, which is the same for what is there and what is not; no statement was run for it."""
    before = app.state.services.pool.get_stats().get("requests_num", 0)
    answers = []
    for path, query in there_and_not(doc, stored):
        answers.append(bare(await client.request(doc.method, path, params=query, json={"up_to_seq": 1})))
    assert answers[0] == answers[1], doc
    assert app.state.services.pool.get_stats().get("requests_num", 0) == before, doc
    assert b"bob" not in answers[0][2]
    return answers[0][0]


async def test_a_recipient_learns_nothing_of_another(
    app: Litestar, client_with: Callable[..., httpx.AsyncClient], stored: dict[str, int | str]
) -> None:
    signing = await app.state.services.gatekeeper.signing_key()
    client = client_with(new_token(signing, "ada", 600)[0])
    seen = [(doc.access, await _compare(app, client, doc, stored)) for doc in declared(app) if doc.access != "public"]
    assert len(seen) > 15
    assert {status for access, status in seen if access.startswith("inbox")} == {404}
    assert {status for access, status in seen if not access.startswith("inbox")} == {403}


@pytest.mark.parametrize("scope", ["read", "schedule"])
async def test_a_key_without_the_scope_learns_nothing(
    app: Litestar,
    client_with: Callable[..., httpx.AsyncClient],
    key_of: Callable[..., str],
    stored: dict[str, int | str],
    scope: str,
) -> None:
    client = client_with(key_of(scope))
    allowed = {"public", scope, {"read": "inbox", "schedule": "inbox-write"}[scope]}
    closed = [doc for doc in declared(app) if doc.access not in allowed]
    assert len(closed) > 8
    assert {await _compare(app, client, doc, stored) for doc in closed} == {403}


async def test_who_comes_without_a_key_learns_nothing(
    app: Litestar, client_with: Callable[..., httpx.AsyncClient], stored: dict[str, int | str]
) -> None:
    closed = [doc for doc in declared(app) if doc.access != "public"]
    assert {await _compare(app, client_with(), doc, stored) for doc in closed} == {401}


async def test_ids_of_others_are_passed_over_as_if_they_were_not_there(
    app: Litestar, client_with: Callable[..., httpx.AsyncClient], stored: dict[str, int | str], db: Db
) -> None:
    signing = await app.state.services.gatekeeper.signing_key()
    client = client_with(new_token(signing, "ada", 600)[0])
    ids = (stored["notifications"], 999_999)
    answers = [bare(await client.post("/api/inbox/read", json={"ids": [id]})) for id in ids]
    assert answers[0] == answers[1]
    assert db.execute("select unread from notify.mailbox where recipient = 'bob'").fetchone() == (1,)


async def test_an_idempotency_key_of_another_says_nothing(
    app: Litestar, client_with: Callable[..., httpx.AsyncClient], stored: dict[str, int | str], db: Db
) -> None:
    signing = await app.state.services.gatekeeper.signing_key()
    schedule(db, "ada")
    drain(db)
    headers = {"Idempotency-Key": "the-same"}
    answers = [
        await client_with(new_token(signing, who, 600)[0]).post("/api/inbox/read", json=body, headers=headers)
        for who, body in (("bob", {"up_to_seq": 1}), ("ada", {"ids": [1]}))
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert "idempotency-replayed" not in answers[1].headers


@pytest.mark.parametrize(
    "sqlstate", [*(state for state in _BY_SQLSTATE if not state.startswith("NT")), "P0001", "23505", "42501", "XX000"]
)
async def test_texts_of_the_database_are_not_passed_on(
    api: httpx.AsyncClient, stored: dict[str, int | str], db: Db, sqlstate: str
) -> None:
    db.execute(
        "create function public.tell() returns trigger language plpgsql as $$ begin"
        f" raise exception '{SECRET}' using errcode = '{sqlstate}', detail = '{SECRET}', hint = '{SECRET}',"
        f" column = '{SECRET}'; end $$"
    )
    db.execute("create trigger tell before insert on notify.batch for each row execute function public.tell()")
    answer = await api.post("/api/notifications/schedule/", json=request())
    assert answer.status_code >= 400
    told: Any = answer.text + str(answer.headers)
    assert SECRET not in told
