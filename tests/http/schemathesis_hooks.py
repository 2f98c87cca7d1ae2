"""What JSON Schema cannot say of our inputs: values for the formats, and what has to go together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core import NotSet

_NOW = datetime.now(UTC).replace(microsecond=0)
_TIMES = st.integers(1, 4 * 365 * 24).map(
    lambda hours: (_NOW + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
)
_IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=32)
_CURSOR_BY_ID = "WyJpZCIsN10"
_CURSOR_OF_DELIVERIES = "WyJkZWxpdmVyeSIsN10"
_CURSOR_BY_DUE = "WyJkdWUiLCIyMDI3LTAxLTAxVDAwOjAwOjAwWiIsN10"
_CURSOR_BY_NAME = "WyJuYW1lIiwiYSJd"

schemathesis.openapi.format("date-time", _TIMES)
schemathesis.openapi.format(
    "recipient-id", st.sampled_from(["1", "ada", "é/ü"]) | _IDS.filter(lambda id: id not in "...")
)
schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))
schemathesis.openapi.format("channel", st.just("inbox"))
schemathesis.openapi.format("outside-channel", st.sampled_from(["email", "webhook", "apprise"]))
schemathesis.openapi.format("cursor", st.just(_CURSOR_BY_ID))
schemathesis.openapi.format(
    "template-source", st.sampled_from(["Order {{ number }}", "{{ name|upper }}", "Hello", "é"])
)
_OPTIONAL_BODIES = frozenset(
    {"POST /api/recipients/{id}/tokens", "POST /api/batches/{id}/replay", "POST /api/templates/{name}/preview"}
)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Mend what only the meaning forbids; what the schema forbids stays as it is."""
    if isinstance(case.query, dict):
        _mend_query(case.operation.path, case.query)
    if case.operation.label in _OPTIONAL_BODIES and isinstance(case.body, NotSet):
        case.body, case.media_type = {}, "application/json"  # left out, it passes for a violation
    case.body = _without_whole_floats(case.body)
    if isinstance(case.body, dict):
        _mend_times(case.body)
        if case.operation.label == "POST /api/deliveries/replay" and case.body.get("all", False) is False:
            case.body["all"] = True  # needed where all filters are left out
        if case.body.get("unknown_recipients") == "reject":  # refuses what the schema cannot know to be unknown
            case.body["unknown_recipients"] = "create"
        for person in (case.body, *_listed(case.body.get("recipients"))):
            _mend_quiet_hours(person)
        if case.meta is None or case.meta.generation.mode.is_positive:
            _mend_templates(case.operation.label, case.body)


def _mend_query(path: str, query: dict[str, Any]) -> None:
    """An inbox with a key needs its recipient, and a list by due time has cursors of its own."""
    if path.startswith("/api/inbox"):
        query.setdefault("recipient", "ada")
    elif path == "/api/templates" and query.get("cursor") == _CURSOR_BY_ID:
        query["cursor"] = _CURSOR_BY_NAME
    elif path == "/api/deliveries" and query.get("cursor") == _CURSOR_BY_ID:
        query["cursor"] = _CURSOR_OF_DELIVERIES
    elif query.get("status") == "pending" and query.get("cursor") == _CURSOR_BY_ID:
        query["cursor"] = _CURSOR_BY_DUE


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mend_quiet_hours(person: Any) -> None:
    """They begin and end at different times."""
    preferences = person.get("preferences") if isinstance(person, dict) else None
    hours = preferences.get("quiet_hours") if isinstance(preferences, dict) else None
    if isinstance(hours, dict) and isinstance(hours.get("from"), str) and hours["from"] == hours.get("to"):
        hours["to"] = "8:00" if hours["from"].endswith("7:00") else "7:00"


def _mend_templates(label: str, body: dict[str, Any]) -> None:
    """The default is one of the locales; and which templates there are, and what they ask for, no schema can know."""
    if label == "POST /api/notifications/schedule/":
        for name in ("template", "template_version", "variables"):
            body.pop(name, None)
        body.setdefault("title", "Coffee")
        body.setdefault("message", "It is ready")
    tried = body
    if label.endswith("/preview"):
        tried = body.get("template") or {}
        if tried:
            body.pop("version", None)
        body["variables"] = {"number": 1, "name": "Ada", "order": {"number": 42, "items": ["cup"]}}
    if isinstance(tried.get("locales"), dict):
        tried["default_locale"] = next(iter(tried["locales"]))


def _mend_times(body: dict[str, Any]) -> None:
    """Times of earlier answers are used again, though they are past by now; and what expires has to be later."""
    times = {name: _time(body.get(name)) for name in ("scheduled_at", "expires_at")}
    at, end = times["scheduled_at"], times["expires_at"]
    if at is not None and at < _NOW + timedelta(hours=1):
        at = _NOW + timedelta(hours=1)
        body["scheduled_at"] = at.isoformat()
    if end is not None and (body.get("spread_over") or end <= (at or _NOW + timedelta(hours=1))):
        del body["expires_at"]


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return None if time.tzinfo is None else time


def _without_whole_floats(value: Any) -> Any:
    """JSON Schema takes 3.0 for an integer; we do not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_without_whole_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_whole_floats(item) for key, item in value.items()}
    return value
