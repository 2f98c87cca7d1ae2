"""Ids, queries and bodies of the other calls: what is wrong with them is named."""

from __future__ import annotations

from typing import Any

import httpx

from helpers.http import assert_problem, later, nested
from notify import cursor

NO_IDS: list[Any] = ["0", "-1", "1.5", "9223372036854775808", "x", "01", "+1", "1e3", "%00", "%D9%A1", "null"]


async def test_ids_in_paths(api: httpx.AsyncClient) -> None:
    for id in NO_IDS:
        calls = [
            ("GET", f"/api/notifications/{id}"),
            ("PATCH", f"/api/notifications/{id}"),
            ("GET", f"/api/notifications/{id}/schedule_status/"),
            ("DELETE", f"/api/notifications/{id}/cancel_scheduled/"),
            ("POST", f"/api/notifications/{id}/send"),
            ("POST", f"/api/notifications/{id}/retry"),
            ("GET", f"/api/batches/{id}"),
            ("DELETE", f"/api/batches/{id}"),
        ]
        for method, path in calls:
            assert_problem(await api.request(method, path), 400, "invalid-value", "id")


async def test_largest_id_is_merely_absent(api: httpx.AsyncClient) -> None:
    assert_problem(await api.get(f"/api/notifications/{2**63 - 1}"), 404, "not-found")
    assert_problem(await api.delete(f"/api/batches/{2**63 - 1}"), 404, "not-found")


NO_RECIPIENTS: list[Any] = ["a%00", "%0A", "%7F", "%FF", "x" * 129, "%C3%A9" * 65]


async def test_recipient_ids_in_paths(api: httpx.AsyncClient) -> None:
    for id in NO_RECIPIENTS:
        for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/tokens")):
            answer = await api.request(method, f"/api/recipients/{id}{path}", json={} if method == "PUT" else None)
            assert_problem(answer, 400, "invalid-value", "id")


LISTS: list[Any] = [
    ("status", "done"),
    ("limit", "0"),
    ("limit", "1001"),
    ("limit", "many"),
    ("limit", "1.0"),
    ("limit", ""),
    ("limit", "9" * 30),
    ("due_before", "tomorrow"),
    ("due_before", "2030-01-01T00:00:00"),
    ("due_before", "1893456000"),
    ("due_before", "9999-12-31T23:59:59-23:59"),
    ("recipient", ""),
    ("recipient", "a\n"),
    ("recipient", "a\x00"),
    ("type", ""),
    ("reference", "x" * 201),
    ("cursor", ""),
    ("cursor", "x"),
    ("cursor", "é"),
    ("cursor", "!!!!"),
    ("cursor", cursor.encode(1)),
    ("cursor", cursor.encode(["id", 2**63])),
    ("cursor", cursor.encode(["id", -1])),
    ("cursor", cursor.encode(["id", 1, 2])),
    ("cursor", cursor.encode(["due", "2030-01-01T00:00:00Z", 1])),
    ("cursor", "W1tbW1tbW1tbW1tb" * 12),
    ("stauts", "pending"),
]


async def test_queries(api: httpx.AsyncClient) -> None:
    for name, wrong in LISTS:
        assert_problem(await api.get("/api/notifications", params={name: wrong}), 400, field=name)


async def test_cursors_by_due_time(api: httpx.AsyncClient) -> None:
    for wrong in (
        cursor.encode(["id", 1]),
        cursor.encode(["due", "2030-01-01T00:00:00", 1]),
        cursor.encode(["due", "9999-12-31T23:59:59-23:00", 1]),
        cursor.encode(["due", "x", 1]),
    ):
        answer = await api.get("/api/notifications", params={"cursor": wrong, "status": "pending"})
        assert_problem(answer, 400, "invalid-value", "cursor")


async def test_query_strings(api: httpx.AsyncClient) -> None:
    assert_problem(await api.get("/api/notifications?limit=1&limit=2"), 400, field="limit")
    assert_problem(await api.get("/api/notifications?type=%FF"), 400)
    for path in ("/api/notifications", "/api/notifications?reference="):
        assert_problem(await api.delete(path), 400, field="reference")


INBOXES: list[Any] = [
    ("after", "-1"),
    ("after", "x"),
    ("after", str(2**63)),
    ("limit", "1001"),
    ("recipient", ""),
    ("since", "1"),
]


async def test_inbox_queries(api: httpx.AsyncClient, people: list[str]) -> None:
    for name, wrong in INBOXES:
        answer = await api.get("/api/inbox", params={"recipient": "ada"} | {name: wrong})
        assert_problem(answer, 400, field=name)


BODIES: list[Any] = [
    ("PATCH", "/api/notifications/1", {}, "scheduled_at"),
    ("PATCH", "/api/notifications/1", {"scheduled_at": None}, "scheduled_at"),
    ("PATCH", "/api/notifications/1", {"scheduled_at": "2030-01-01T00:00:00"}, "scheduled_at"),
    ("PATCH", "/api/notifications/1", {"scheduled_at": "2020-01-01T00:00:00Z"}, "scheduled_at"),
    ("PATCH", "/api/notifications/1", {"scheduled_at": later(), "title": "x"}, "title"),
    ("POST", "/api/notifications/1/retry", {"delay_minutes": -1}, "delay_minutes"),
    ("POST", "/api/notifications/1/retry", {"delay_minutes": 2_592_001}, "delay_minutes"),
    ("POST", "/api/notifications/1/retry", {"delay_minutes": "10"}, "delay_minutes"),
    ("POST", "/api/recipients", {"recipients": []}, "recipients"),
    ("POST", "/api/recipients", {"recipients": [{"id": 1}] * 10_001}, "recipients"),
    ("POST", "/api/recipients", {"recipients": [{"id": 1}, 2]}, "recipients[1]"),
    ("PUT", "/api/recipients/x", {"id": "y"}, "id"),
    ("PUT", "/api/recipients/x", {"time_zone": "Mars"}, "time_zone"),
    ("PUT", "/api/recipients/x", {"time_zone": ""}, "time_zone"),
    ("PUT", "/api/recipients/x", {"preferences": nested(65)}, "preferences"),
    ("POST", "/api/recipients/ada/tokens", {"ttl": 0}, "ttl"),
    ("POST", "/api/recipients/ada/tokens", {"ttl": 31_536_001}, "ttl"),
    ("POST", "/api/inbox/read?recipient=ada", {}, "ids"),
    ("POST", "/api/inbox/read?recipient=ada", {"ids": [2**63]}, "ids[0]"),
    ("POST", "/api/inbox/read?recipient=ada", {"ids": [1] * 10_001}, "ids"),
    ("POST", "/api/inbox/read?recipient=ada", {"up_to_seq": -1}, "up_to_seq"),
    ("POST", "/api/inbox/read?recipient=ada", {"up_to_seq": None}, "up_to_seq"),
    ("POST", "/api/inbox/read", {"up_to_seq": 1}, "recipient"),
]


async def test_bodies_of_other_calls(api: httpx.AsyncClient, people: list[str]) -> None:
    for method, path, body, field in BODIES:
        assert_problem(await api.request(method, path, json=body), 400, field=field)
