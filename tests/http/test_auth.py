"""Who is let in where. Every route is closed to whom it does not name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler, get
from litestar.routes import HTTPRoute

from helpers.http import ADMIN_KEY, Make, assert_problem, request
from notify.access import new_key, new_token
from notify.http.routes import Doc

PUBLIC = {"/health/live", "/health/ready", "/schema/openapi.json", "/unsubscribe/1"}
# What each kind of credential may call: what it may not is 401 or 403, whatever else is wrong with the request.
MAY = {
    "schedule": {"schedule", "inbox-write"},
    "read": {"read", "inbox"},
    "admin": {"schedule", "read", "admin", "inbox", "inbox-write"},
    "token": {"inbox", "inbox-write"},
}


def routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    if method != "OPTIONS":
                        yield str(method), re.sub(r"\{\w+:str\}", "1", route.path), handler


async def test_every_route_declares_its_access(app: Litestar) -> None:
    docs = {(method, path): handler.opt.get("doc") for method, path, handler in routes(app)}
    assert len(docs) > 20
    assert all(isinstance(doc, Doc) for doc in docs.values())
    public = {path for (_, path), doc in docs.items() if isinstance(doc, Doc) and doc.access == "public"}
    assert public == PUBLIC


async def test_nobody_without_a_credential(app: Litestar, client_with: Make) -> None:
    for method, path, _ in routes(app):
        answer = await client_with().request(method, path)
        if path in PUBLIC:
            assert answer.status_code in (200, 404, 503), path
        else:
            assert_problem(answer, 401, "not-authenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("kind", list(MAY))
async def test_scopes(
    app: Litestar, api: httpx.AsyncClient, client_with: Make, key_of: Callable[..., str], people: list[str], kind: str
) -> None:
    token = (await api.post("/api/recipients/ada/tokens")).json()["token"]
    client = client_with(token if kind == "token" else key_of(kind))
    for method, path, handler in routes(app):
        doc: Doc = handler.opt["doc"]
        answer = await client.request(method, path)
        if doc.access == "public" or doc.access in MAY[kind]:
            assert answer.status_code not in (401, 403), (method, path, answer.text)
        else:
            assert_problem(answer, 403, "not-allowed")


async def test_what_only_reads_changes_no_inbox(
    client_with: Make, key_of: Callable[..., str], people: list[str]
) -> None:
    path = "/api/inbox/read?recipient=ada"
    assert_problem(await client_with(key_of("read")).post(path, json={"up_to_seq": 1}), 403, "not-allowed")
    assert (await client_with(key_of("schedule")).post(path, json={"up_to_seq": 1})).status_code == 200


async def test_who_may_schedule_may_tell_who_the_recipients_are(
    client_with: Make, key_of: Callable[..., str], people: list[str]
) -> None:
    client = client_with(key_of("schedule"))
    ada = {"id": "ada", "email": "ada@example.org"}
    answer = await client.post("/api/notifications/schedule/", json=request(recipients=[ada]))
    assert answer.status_code == 201
    assert_problem(await client.put("/api/recipients/ada", json={}), 403, "not-allowed")
    shown = await client_with(ADMIN_KEY).get("/api/recipients/ada")
    assert shown.json()["addresses"] == {"email": "ada@example.org"}


async def test_route_without_access_is_closed(app: Litestar, api: httpx.AsyncClient) -> None:
    @get("/forgotten")
    async def forgotten() -> None:
        """Nothing says who may call it."""

    app.register(forgotten)
    assert_problem(await api.get("/forgotten"), 403, "not-allowed")


async def test_both_schemes(client_with: Make) -> None:
    for scheme in ("Bearer", "Token", "bearer", "TOKEN"):
        assert (await client_with(ADMIN_KEY, scheme).get("/api/notifications")).status_code == 200


async def test_headers_that_do_not_hold(client_with: Make) -> None:
    wrong = ["", "Bearer", "Bearer ", f"Basic {ADMIN_KEY}", ADMIN_KEY, f"Bearer {ADMIN_KEY} x", "Bearer é"]
    for header in [*wrong, "Bearer a.b.c", "Bearer ..", "Bearer " + "x" * 10_000]:
        headers = {b"Authorization": header.encode("latin-1")}
        assert_problem(await client_with().get("/api/notifications", headers=headers), 401, "not-authenticated")


async def test_two_headers_do_not_hold(client_with: Make) -> None:
    header = ("Authorization", f"Bearer {ADMIN_KEY}")
    assert_problem(await client_with().get("/api/notifications", headers=[header, header]), 401)


async def test_credential_in_the_url_is_none(client_with: Make) -> None:
    for name in ("token", "key", "api_key", "access_token", "authorization"):
        assert_problem(await client_with().get("/api/notifications", params={name: ADMIN_KEY}), 401)


async def test_keys_that_do_not_hold(client_with: Make, key_of: Callable[..., str]) -> None:
    bad = [
        new_key(),
        key_of("admin", revoked=True),
        key_of("admin", expires_in="-1 second"),
        key_of("admin")[:-1] + "!",
    ]
    answers = [await client_with(key).get("/api/notifications") for key in bad]
    texts = [assert_problem(answer, 401, "not-authenticated")["detail"] for answer in answers]
    assert len(set(texts[:3])) == 1
    assert (await client_with(key_of("read", expires_in="1 hour")).get("/api/notifications")).status_code == 200


async def test_tokens_that_do_not_hold(client_with: Make, people: list[str], db: psycopg.Connection[Any]) -> None:
    row = db.execute("select value from notify.secret where name = 'token_key'").fetchone()
    assert row is not None
    secret = str(row[0])
    ends = int(datetime.now(UTC).timestamp()) + 60
    good = {"sub": "ada", "aud": "notify", "exp": ends}
    bad = [
        jwt.encode(good, secret + "x", "HS256"),
        jwt.encode(good, secret, "HS512"),
        jwt.encode(good, "", "none"),
        jwt.encode(good | {"aud": "other"}, secret, "HS256"),
        jwt.encode({"sub": "ada", "aud": "notify"}, secret, "HS256"),
        jwt.encode({"aud": "notify", "exp": ends}, secret, "HS256"),
        new_token(secret, "ada", -1)[0],
    ]
    assert (await client_with(jwt.encode(good, secret, "HS256")).get("/api/inbox")).status_code == 200
    for token in bad:
        assert_problem(await client_with(token).get("/api/inbox"), 401, "not-authenticated")


async def test_token_opens_its_own_inbox_only(api: httpx.AsyncClient, client_with: Make, people: list[str]) -> None:
    client = client_with((await api.post("/api/recipients/ada/tokens")).json()["token"])
    assert (await client.get("/api/inbox?recipient=ada")).status_code == 200
    others = [await client.get("/api/inbox", params={"recipient": id}) for id in ("1", "nobody")]
    assert others[0].content == others[1].content
    assert_problem(others[0], 404, "not-found")
    others = [await client.post("/api/inbox/read", params={"recipient": id}, json={}) for id in ("1", "nobody")]
    assert others[0].content == others[1].content
    await api.delete("/api/recipients/ada")
    assert_problem(await client.get("/api/inbox"), 404, "not-found")


async def test_refusals_repeat_no_credential(client_with: Make) -> None:
    key = new_key()
    for credential in (key, key[:-1] + "x", f"{key}.{key}.{key}"):
        assert credential not in (await client_with(credential).get("/api/notifications")).text


async def test_input_is_looked_at_only_when_let_in(client_with: Make, key_of: Callable[..., str]) -> None:
    client = client_with(key_of("read"))
    assert_problem(await client.post("/api/notifications/schedule/", json=request(title="")), 403)
    assert_problem(await client.post("/api/notifications/schedule/", content=b"{"), 403)
