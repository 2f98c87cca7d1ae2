"""Whatever is wrong with the input: a problem that names the field and the reason, and nothing written."""

from __future__ import annotations

import json
from typing import Any

import httpx

from helpers.http import assert_problem, later, nested, request
from helpers.rows import Db, stored, value

_PATH = "/api/notifications/schedule/"
_JSON = {"Content-Type": "application/json"}


BAD: list[Any] = [
    # times
    ("scheduled_at", "2030-01-01T00:00:00", "invalid-value", "offset"),
    ("scheduled_at", "2020-01-01T00:00:00Z", "time-not-in-future", "future"),
    ("scheduled_at", "0001-01-01T00:00:00Z", "time-not-in-future", "future"),
    ("scheduled_at", "0001-01-01T00:00:00+23:59", "invalid-value", "range"),
    ("scheduled_at", later(days=5 * 366), "limit-exceeded", "5 years"),
    ("scheduled_at", "9999-12-31T23:59:59-23:59", "invalid-value", "range"),
    ("scheduled_at", "tomorrow", "invalid-value", "2030-12-28T10:00:00Z"),
    ("scheduled_at", "", "invalid-value", "2030-12-28T10:00:00Z"),
    ("scheduled_at", 1893456000, "invalid-value", "int"),
    ("expires_at", "2030-01-01T00:00:00", "invalid-value", "offset"),
    ("expires_at", "2020-01-01T00:00:00Z", "invalid-value", "after scheduled_at"),
    ("expires_at", "9999-12-31T23:59:59-12:00", "invalid-value", "range"),
    # recipients
    ("recipients", [], "invalid-value", "empty"),
    ("recipients", ["a"] * 100_001, "limit-exceeded", "100000"),
    ("recipients", "ada", "invalid-value", "array"),
    ("recipients", None, "invalid-value", "array"),
    ("recipients", ..., "invalid-value", "must be given"),
    ("recipients[1]", ["ada", ""], "invalid-value", "empty"),
    ("recipients[1]", ["ada", True], "invalid-value", "bool"),
    ("recipients[0]", [None], "invalid-value", "null"),
    ("recipients[0]", [1.5], "invalid-value", "float"),
    ("recipients[0]", [["ada"]], "invalid-value", "array"),
    ("recipients[0]", [2**63], "invalid-value", "9223372036854775807"),
    ("recipients[0]", [-(2**63) - 1], "invalid-value", "9223372036854775808"),
    ("recipients[0]", [10**40], "invalid-value", "9223372036854775807"),
    ("recipients[0]", ["é" * 65], "invalid-value", "128 bytes"),
    ("recipients[0]", ["x" * 129], "limit-exceeded", "128 characters"),
    ("recipients[2]", ["a", "b", "c\n"], "invalid-value", "control characters"),
    ("recipients[0]", ["\x7f"], "invalid-value", "control characters"),
    ("recipients[0]", ["\x9f"], "invalid-value", "control characters"),
    ("recipients[0]", ["a\x00"], "invalid-value", "NUL"),
    ("recipients[0].id", [{"email": "a@b"}], "invalid-value", "must be given"),
    ("recipients[0].id", [{"id": True}], "invalid-value", "bool"),
    ("recipients[0].id", [{"id": "\t"}], "invalid-value", "control characters"),
    ("recipients[0].mail", [{"id": 1, "mail": "a@b"}], "invalid-value", "known are time_zone, locale, email,"),
    ("recipients[0].email", [{"id": 1, "email": "nobody"}], "invalid-value", "email"),
    ("recipients[0].addresses", [{"id": 1, "addresses": ["a"]}], "invalid-value", "array"),
    ("recipients[0].preferences", [{"id": 1, "preferences": nested(65)}], "limit-exceeded", "64"),
    ("time_zone", [{"id": 1, "time_zone": "Europe/Atlantis"}], "invalid-value", "IANA"),
    ("locale", [{"id": 1, "locale": "not a locale"}], "invalid-value", "language tag"),
    ("addresses", [{"id": 1, "addresses": {"sms": "x" * 16_384}}], "limit-exceeded", "16384"),
    (
        "recipients[0].addresses.email",
        [{"id": 1, "addresses": {"email": "nobody"}}],
        "invalid-value",
        "ada@example.org",
    ),
    (
        "recipients[0].addresses.email",
        [{"id": 1, "addresses": {"email": {"mail": "a@b.c"}}}],
        "invalid-value",
        "address",
    ),
    ("recipients[0].email", [{"id": 1, "email": "a..b@example.org"}], "invalid-value", "ada@example.org"),
    ("recipients[0].addresses.webhook", [{"id": 1, "addresses": {"webhook": "ftp://x"}}], "invalid-value", "http"),
    ("recipients[1].addresses.apprise", [1, {"id": 2, "addresses": {"apprise": "slack"}}], "invalid-value", "URL"),
    ("preferences.opt_out", [{"id": 1, "preferences": {"opt_out": [{}]}}], "invalid-value", "at most 200"),
    ("preferences.opt_out", [{"id": 1, "preferences": {"opt_out": [{"channel": "inbox"}]}}], "invalid-value", "inbox"),
    (
        "preferences.opt_out",
        [{"id": 1, "preferences": {"opt_out": [{"channel": "emial"}]}}],
        "invalid-value",
        "webhook",
    ),
    ("preferences.opt_in", [{"id": 1, "preferences": {"opt_in": [{}]}}], "invalid-value", "opt_in"),
    (
        "preferences.quiet_hours",
        [{"id": 1, "preferences": {"quiet_hours": {"from": "22:00", "to": "22:00"}}}],
        "invalid-value",
        "differ",
    ),
    (
        "preferences.quiet_hours",
        [{"id": 1, "preferences": {"quiet_hours": {"from": "22:00"}}}],
        "invalid-value",
        "22:00",
    ),
    ("recipients[0].addresses[...]", [{"id": 1, "addresses": {"email": 7}}], "invalid-value", "text or an object"),
    # content
    ("title", "", "invalid-value", "empty"),
    ("title", "x" * 201, "limit-exceeded", "200"),
    ("title", "a\x00b", "invalid-value", "NUL"),
    ("title", "\ud800", "invalid-value", "surrogates"),
    ("title", None, "invalid-value", "null"),
    ("title", 7, "invalid-value", "int"),
    ("title", ..., "invalid-value", "must be given"),
    ("message", "", "invalid-value", "empty"),
    ("message", "x" * 16_385, "limit-exceeded", "16384"),
    ("message", "é" * 8_193, "limit-exceeded", "16384"),
    ("message", "\udc00x", "invalid-value", "surrogates"),
    ("type", "", "invalid-value", "empty"),
    ("type", "x" * 101, "limit-exceeded", "100"),
    ("type", None, "invalid-value", "null"),
    ("priority", "asap", "invalid-value", "low, normal, high, urgent"),
    ("priority", 1, "invalid-value", "int"),
    ("channels", [], "invalid-value", "empty"),
    ("channels", ["inbox", "pigeon"], "invalid-value", "'pigeon' is not known; known are inbox. A worker makes known"),
    ("channels", ["email"], "invalid-value", "NOTIFY_SMTP_URL"),
    ("channels", ["inbox"] * 17, "limit-exceeded", "16"),
    ("channels", "inbox", "invalid-value", "array"),
    ("channels[1]", ["inbox", None], "invalid-value", "null"),
    ("reference", "", "invalid-value", "empty"),
    ("reference", "x" * 201, "limit-exceeded", "200"),
    ("reference", "a\x00", "invalid-value", "NUL"),
    ("if_past", "maybe", "invalid-value", "reject, send"),
    ("unknown_recipients", "maybe", "invalid-value", "skip, create, reject"),
    ("unknown_recipients", "reject", "unknown-recipients", "not known"),
    ("retry", [], "invalid-value", "object"),
    ("retry.delay", {"delay": 1}, "invalid-value", "not known here; known are delays, jitter, max_age, final"),
    ("retry.delays", {"delays": [1] * 21}, "limit-exceeded", "20"),
    ("retry.delays", {"delays": 60}, "invalid-value", "array"),
    ("retry.delays[1]", {"delays": [0, -1]}, "invalid-value", "0"),
    ("retry.delays[0]", {"delays": [604_801]}, "invalid-value", "604800"),
    ("retry.delays[0]", {"delays": [None]}, "invalid-value", "null"),
    ("retry.jitter", {"jitter": 1.1}, "invalid-value", "1"),
    ("retry.jitter", {"jitter": None}, "invalid-value", "null"),
    ("retry.max_age", {"max_age": 0}, "invalid-value", "1"),
    ("retry.final[0]", {"final": ["HTTP 404"]}, "invalid-value", "an error code such as http-404"),
    ("retry.final", {"final": ["x"] * 51}, "limit-exceeded", "50"),
    ("spread_over", 0, "invalid-value", "1"),
    ("spread_over", 10_081, "invalid-value", "10080"),
    ("spread_over", 1.5, "invalid-value", "float"),
    ("spread_over", "5", "invalid-value", "str"),
    # data
    ("data", [], "invalid-value", "object"),
    ("data", None, "invalid-value", "object"),
    ("data", "x", "invalid-value", "object"),
    ("data", {"a": "x" * 16_384}, "limit-exceeded", "16384"),
    ("data", nested(65), "limit-exceeded", "64"),
    ("data", nested(900), "limit-exceeded", "64"),
    ("data.a[0]", {"a": ["\x00"]}, "invalid-value", "NUL"),
    ("data", {"\x00": 1}, "invalid-value", "NUL"),
    ("data.a.b", {"a": {"b": "\udfff"}}, "invalid-value", "surrogates"),
    ("data.a[2].b", {"a": [1, {"c": [{}, "]"]}, {"x": ":,", "b": "🚀\x00"}]}, "invalid-value", "NUL"),
    ('data.a"b', {"x": [[], {}], 'a"b': "\udfff\ud800"}, "invalid-value", "surrogates"),
    ("data", {"\ud800": 1}, "invalid-value", "surrogates"),
    # fields
    ("shceduled_at", later(), "invalid-value", "scheduled_at"),
    ("\ud800", 1, "invalid-value", ""),
]


async def test_refused_with_field_and_reason(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    for field, wrong, slug, reason in BAD:
        name = field.partition("[")[0].partition(".")[0]
        name = "recipients" if name in ("time_zone", "locale", "addresses", "preferences") else name
        body = request(**{"recipients": ["x"], name: wrong})
        problem = assert_problem(await api.post(_PATH, content=json.dumps(body), headers=_JSON), 400, slug)
        assert reason in problem["detail"], (field, wrong)
        if slug != "unknown-recipients" and name != "\ud800":
            assert problem["field"] == field, problem
        assert stored(db) == (0, 0, 0), (field, wrong)
    assert value(db, "select count(*) from notify.recipient") == len(people)


BROKEN: list[Any] = [
    ('{"data": %s}' % ("[" * 100_000), "data"),
    ('{"title": "x", "data": {"a": %s}}' % ("[" * 5_000 + "]" * 5_000), "data"),
    ("[" * 100_000, None),
    ('{"data": {"n": 1e999}}', "data"),
    ('{"data": {"n": %s}}' % ("9" * 5_000), "data"),
    ('{"data": {"n": NaN}}', None),
    ('{"reference": "caf\udce9"}', "reference"),
    ('{"data": {"a": "caf\udce9"}}', "data"),
    ('{"data": {"caf\udce9": 1}}', "data"),
    ('{"type": ["\\u0000"', "type[0]"),
]


async def test_json_that_breaks_parsers(api: httpx.AsyncClient) -> None:
    for text, field in BROKEN:
        good = json.dumps(request())[1:]
        body = text[:-1] + ", " + good if text.endswith("}") else text
        answer = await api.post(_PATH, content=body.encode("utf-8", "surrogateescape"), headers=_JSON)
        assert assert_problem(answer, 400).get("field") == field


AT_THE_LIMITS: list[Any] = [
    {"title": "x" * 200},
    {"title": "𐍈" * 200},
    {"message": "x" * 16_384},
    {"message": "é" * 8_192},
    {"data": {"a": "x" * (16_384 - len('{"a":""}'))}},
    {"data": {"a": ["é, : "] * 900}},
    {"data": nested(64)},
    {"data": {"a": "\x01" * (16_384 // 6 - 2)}},
    {"type": "x" * 100},
    {"reference": "x" * 200},
    {"recipients": ["é" * 64], "unknown_recipients": "create"},
    {"recipients": [2**63 - 1, -(2**63)], "unknown_recipients": "create"},
    {"recipients": [str(number) for number in range(1_000)], "unknown_recipients": "create"},
    {"scheduled_at": later(days=5 * 365 - 2)},
    {"scheduled_at": "2030-12-28T10:00:00.123456789+05:30"},
    {"scheduled_at": "2030-12-28t10:00:00z"},
    {"scheduled_at": None},
    {"expires_at": "9999-12-31T23:59:59Z"},
    {"priority": "urgent", "channels": ["inbox", "inbox"]},
    {"title": "back\\u0000slash \\ud800 🚀"},
]


async def test_accepted_at_the_limits(api: httpx.AsyncClient, people: list[str]) -> None:
    for good in AT_THE_LIMITS:
        answer = await api.post(_PATH, json=request(**good))
        assert answer.status_code == 201, answer.text


async def test_data_counts_without_its_spaces_and_escapes(api: httpx.AsyncClient, people: list[str]) -> None:
    data = '{"a":' + " " * 500_000 + '"' + "\\u0061" * (16_384 - len('{"a":""}')) + '"\n}'
    body = json.dumps(request())[:-1] + f', "data": {data}}}'
    answer = await api.post(_PATH, content=body, headers=_JSON)
    assert answer.status_code == 201, answer.text
    body = body.replace('"\n}', '      b"\n}')
    assert_problem(await api.post(_PATH, content=body, headers=_JSON), 400, "limit-exceeded", "data")


async def test_most_recipients(api: httpx.AsyncClient, db: Db) -> None:
    ids = list(range(100_000))
    answer = await api.post(_PATH, json=request(recipients=ids, unknown_recipients="create"), timeout=60)
    scheduled = answer.json()
    assert (scheduled["count"], len(scheduled["notification_ids"])) == (100_000, 100_000)
    assert [placed["recipient"] for placed in scheduled["notifications"][:3]] == ["0", "1", "2"]


async def test_data_is_kept_exactly(api: httpx.AsyncClient, people: list[str]) -> None:
    text = '{"amount": 12345678901234567890.123456789, "tiny": 1e-300, "big": 123456789012345678901234567890}'
    body = json.dumps(request())[:-1] + f', "data": {text}}}'
    id = (await api.post(_PATH, content=body, headers=_JSON)).json()["notification_ids"][0]
    answer = await api.get(f"/api/notifications/{id}")
    for number in ("12345678901234567890.123456789", "123456789012345678901234567890"):
        assert number in answer.text
    assert answer.json()["data"] == json.loads(text)
