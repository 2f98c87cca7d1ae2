"""Links to unsubscribe: GET shows a page and changes nothing, POST at one click does, and no log has the token."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest
from litestar import Litestar
from msgspec.structs import replace
from structlog.testing import capture_logs

from helpers import logins
from helpers.http import ADMIN_KEY, Make, assert_problem, request, running
from helpers.outside import CHANNEL, add_channel, add_reachable, lease, send
from helpers.rows import Db, add_recipients, statuses, value
from helpers.server import serving
from notify.channels.unsubscribe import new_token
from notify.config import Settings
from notify.http.app import create_app

_FORM = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--'
_CLICKED = {"channel": CHANNEL, "type": "news", "by": "recipient"}
_ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=logins.dsn_of(dsn, "notify_api"), api_key=ADMIN_KEY, pool_max=4)


def link(db: Db, recipient: str = "ada", channel: str = CHANNEL, type: str = "news", key: str | None = None) -> str:
    """The path of a link as a mail has it."""
    key = key or str(value(db, "select notify.unsubscribe_key()"))
    return f"/unsubscribe/{new_token(key, recipient, channel, type)}"


def preferences(db: Db) -> Any:
    return value(db, "select preferences from notify.recipient where id = 'ada'")


@pytest.fixture(autouse=True)
def reachable(db: Db) -> None:
    add_channel(db)
    add_reachable(db, "ada", preferences={"colour": "red"})


async def test_one_click_unsubscribes(client_with: Make, db: Db) -> None:
    client = client_with()
    path = link(db)
    for _ in range(2):
        answer = await client.post(path, data=_ONE_CLICK)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert "news" in answer.text
        assert not {"set-cookie", "location"} & set(answer.headers)
        assert preferences(db) == {"colour": "red", "opt_out": [_CLICKED]}
    (unwanted,) = send(db, "ada", type="news")
    (wanted,) = send(db, "ada", type="alarm")
    assert [row["notification_id"] for row in lease(db)] == [wanted]
    assert statuses(db, [unwanted]) == ["cancelled"]
    await client.post(link(db, type="alarm"))
    assert [one["type"] for one in preferences(db)["opt_out"]] == ["news", "alarm"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", None),
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (_FORM, "multipart/form-data; boundary=x"),
        (b"{}", "application/json"),
        (b"\xff\x00 nonsense", "text/plain"),
    ],
)
async def test_any_body_will_do(client_with: Make, db: Db, content: bytes, kind: str | None) -> None:
    answer = await client_with().post(link(db), content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 200
    assert preferences(db)["opt_out"] == [_CLICKED]


async def test_following_it_shows_a_page_and_changes_nothing(client_with: Make, db: Db) -> None:
    path = link(db, type='<b>"news"</b>')
    for method in ("GET", "HEAD"):
        answer = await client_with().request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; form-action 'self'; style-src 'unsafe-inline'"
        )
        assert answer.headers["cache-control"] == "no-store"
    page = (await client_with().get(path)).text
    assert '<form method="post"><button>' in page
    assert "&lt;b&gt;&quot;news&quot;&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "ada" not in page.partition("</style>")[2]
    assert preferences(db) == {"colour": "red"}


async def test_a_link_that_does_not_hold_changes_nothing(client_with: Make, db: Db, app: Litestar) -> None:
    good = link(db)
    signing = await app.state.services.gatekeeper.signing_key()
    for path in (
        link(db, key="k" * 64),
        link(db, key=signing),
        good[:-2],
        good + "x",
        good.rpartition(".")[0] + ".",
        "/unsubscribe/x",
        "/unsubscribe/a.b.c",
        "/unsubscribe/%FF%00",
    ):
        for method in ("GET", "POST"):
            assert_problem(await client_with().request(method, path), 404, "not-found")
    assert preferences(db) == {"colour": "red"}


async def test_a_link_is_no_key_to_anything_else(client_with: Make, db: Db) -> None:
    token = link(db).rpartition("/")[2]
    assert_problem(await client_with(token).get("/api/inbox"), 401, "not-authenticated")


async def test_who_is_gone_wants_nothing_any_more(client_with: Make, db: Db) -> None:
    path = link(db)
    db.execute("select notify.delete_recipient('ada')")
    assert (await client_with().post(path)).status_code == 200
    assert value(db, "select count(*) from notify.recipient") == 0


async def test_a_click_outlasts_what_the_application_registers(
    api: httpx.AsyncClient, client_with: Make, db: Db
) -> None:
    await client_with().post(link(db))
    read = (await api.get("/api/recipients/ada")).json()["preferences"]
    nightly = {"id": "ada", "preferences": {"opt_out": [{"type": "tips"}]}}
    for body, opt_out in (
        ({"addresses": {CHANNEL: "loft"}}, [_CLICKED]),
        (request(recipients=[nightly]), [{"type": "tips"}, _CLICKED]),
        ({"recipients": [nightly]}, [{"type": "tips"}, _CLICKED]),
        ({"addresses": {CHANNEL: "loft"}, "preferences": read}, [_CLICKED]),
    ):
        path = {"title": "/api/notifications/schedule/", "recipients": "/api/recipients"}
        where = next((path[name] for name in path if name in body), None)
        answer = await (api.post(where, json=body) if where else api.put("/api/recipients/ada", json=body))
        assert answer.is_success, answer.text
        assert preferences(db)["opt_out"] == opt_out
    (unwanted,) = send(db, "ada", type="news")
    assert lease(db) == []
    assert statuses(db, [unwanted]) == ["cancelled"]
    asked_again = {"recipients": [{"id": "ada", "preferences": {"opt_in": [{"channel": CHANNEL, "type": "news"}]}}]}
    assert (await api.post("/api/recipients", json=asked_again)).status_code == 200
    assert preferences(db) == {"colour": "red", "opt_out": []}


async def test_a_recipients_links_count_together(settings: Settings, db: Db) -> None:
    add_recipients(db, "bob")
    async with running(create_app(replace(settings, rate_limit=2))) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test") as client:
            found = [await client.post(link(db, type=type)) for type in "abc"]
            assert [answer.status_code for answer in found] == [200, 200, 429]
            assert found[2].headers["retry-after"]
            assert (await client.post(link(db, "bob"))).status_code == 200


async def test_the_key_is_asked_for_once(client_with: Make, db: Db, app: Litestar) -> None:
    path = link(db)
    assert (await client_with().get(path)).status_code == 200
    db.execute("update notify.secret set value = 'another' where name = 'unsubscribe_key'")
    assert (await client_with().get(path)).status_code == 200


async def test_no_log_and_no_metric_has_the_token(
    api: httpx.AsyncClient, client_with: Make, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link(db)
    token = path.rpartition("/")[2]
    assert (await client_with().get(path)).status_code == 200
    db.execute("alter function notify.unsubscribe rename to gone")
    with capture_logs() as logs:
        assert_problem(await client_with().post(path), 500, "internal")
        db.execute("alter function notify.gone rename to unsubscribe")
        monkeypatch.setattr("notify.http.unsubscribe.store_unsubscribe", _away)
        assert_problem(await client_with().post(path), 503, "unavailable")
    assert [log["path"] for log in logs if "path" in log] == ["/unsubscribe/…"] * 2
    assert token not in str(logs)
    metrics = (await api.get("/metrics")).text
    assert 'method="POST",route="/unsubscribe/{token}",status="500"' in metrics
    assert token not in metrics


async def _away(*_: Any) -> bool:
    raise psycopg.OperationalError("away")


def test_over_a_connection_that_stays(settings: Settings, db: Db) -> None:
    """A body that nobody reads is in nobody's way."""
    with serving(settings) as url, httpx.Client(base_url=url) as client:
        for _ in range(3):
            assert client.post(link(db), content=b"x" * 10_000).status_code == 200
        assert client.get("/health/live").status_code == 200
