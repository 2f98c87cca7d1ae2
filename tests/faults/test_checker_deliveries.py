"""The checker of the chaos run, outside: what may not become of a delivery is seen as what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from faults.chaos.checker import check
from faults.chaos.history import (
    Attempt,
    Batch,
    Call,
    Delivery,
    Frame,
    Heard,
    History,
    Mailbox,
    Opened,
    Request,
    Row,
    Stored,
)
from faults.chaos.verdicts import Kind
from helpers.changes import put

Change = Callable[[History, Stored], object]


def _case() -> tuple[History, Stored]:
    """`a` on the webhook alone, sent at the second try; `b` also in the inbox, given up outside; `c` cancelled; `x`
    undone."""
    calls = [
        _schedule("a", 110, {"ada": 1}, "webhook"),
        _schedule("b", 120, {"ada": 2}, "inbox", "webhook"),
        _schedule("c", 150, {"ada": 3}, "webhook"),
        Call("sql_schedule", 100, 101, "failed", reference="x", recipients=("ada",), channels=("webhook",)),
        Call("cancel", 102, 103, "ok", id=3),
        Call("cancel", 110.2, 110.3, "failed", id=1, told="sending"),
    ]
    requests = [
        *(Request("ntf-i-11", 1, "ada", "Title of a", "a", at) for at in (110.2, 111)),
        *(Request("ntf-i-12", 2, "ada", "Title of b", "b", at) for at in (120.2, 121)),
    ]
    frame = Frame(1, 2, "ada", "Title of b", "b", 120, 120.1, 120.2)
    rows = [
        Row(1, 1, "ada", "sent", 110, sent_at=111.1),
        Row(2, 2, "ada", "sent", 120, 1, 120.1),
        Row(3, 3, "ada", "cancelled", 150, cancelled_at=103, cancel_reason="requested"),
    ]
    batches = [
        Batch(id, call.reference, f"Title of {call.reference}", call.due_at or 0, None, list(call.channels))
        for id, call in enumerate(calls[:3], 1)
    ]
    tried = [Attempt(11, 1, "retry", "http-500"), Attempt(11, 2, "sent")]
    given_up = [Attempt(12, 1, "retry", "timeout"), Attempt(12, 2, "failed", "http-500")]
    deliveries = [
        Delivery(11, 1, "sent", 2, tried=tried),
        Delivery(12, 2, "failed", 2, code="http-500", tried=given_up),
    ]
    return History(calls, {"ada": Heard("ada", [Opened(0, "e", 0), frame], handled=1)}, requests), Stored(
        200,
        {batch.id: batch for batch in batches},
        {row.id: row for row in rows},
        {"ada": Mailbox("ada", 1, 1)},
        {delivery.notification_id: delivery for delivery in deliveries},
    )


def _schedule(reference: str, due_at: float, ids: dict[str, int], *channels: str) -> Call:
    call = Call("schedule", 100, 101, "ok", reference=reference, recipients=tuple(ids), due_at=due_at)
    call.ids, call.channels, call.retries = ids, channels, 1
    return call


def _kinds(change: Change) -> set[Kind]:
    history, stored = _case()
    change(history, stored)
    return {verdict.kind for verdict in check(history, stored)}


def _try(stored: Stored, id: int, *outcomes: tuple[str, str | None], **values: Any) -> object:
    """Let these be all attempts of a notification's delivery, and change what else is given of it."""
    delivery = stored.deliveries[id]
    tried = [Attempt(delivery.id, number, *outcome) for number, outcome in enumerate(outcomes, 1)]
    return put(delivery, tried=tried, **{"attempts": len(tried)} | values)


def _come(history: History, id: int, *moments: float, **values: Any) -> object:
    """Let the requests of a notification be these."""
    name = {1: "a", 2: "b", 3: "c", 4: "x"}[id]
    others = [request for request in history.requests if request.id != id]
    came = [Request(f"ntf-i-{10 + id}", id, "ada", f"Title of {name}", name, at) for at in moments]
    return put(history, requests=others + [replace(request, **values) for request in came])


def _add(history: History, *calls: Call) -> object:
    history.calls.extend(calls)
    return history


_LOST = ("retry", "lease-lost")
_FAILED = ("retry", "http-500")


def test_sound_history_has_no_verdict() -> None:
    assert _kinds(lambda history, stored: None) == set()


SOUND: dict[str, Change] = {
    "doubled, as the first lease was lost": lambda h, s: _try(s, 1, _LOST, ("sent", None)),
    "a lease lost before anything was sent": lambda h, s: _try(s, 1, _LOST, _FAILED, ("sent", None)),
    "repeated at once, as the connection broke off": lambda h, s: (
        _try(s, 1, ("sent", None)),
        put(h.requests[0], cut=True),
    ),
    "given up, as all its leases were lost": lambda h, s: (
        _try(s, 2, _LOST, _LOST, _LOST, _LOST, ("failed", "lease-lost"), code="lease-lost"),
        _come(h, 2),
    ),
    "expired outside": lambda h, s: (
        put(s.batches[2], expires_at=121),
        _try(s, 2, _FAILED, ("retry", "timeout"), status="cancelled", code="expired"),
    ),
    "failed": lambda h, s: (
        _try(s, 1, _FAILED, ("failed", "timeout"), status="failed", code="timeout"),
        put(s.rows[1], status="failed", sent_at=None),
    ),
    "failed, retried and sent": lambda h, s: (
        _try(s, 1, _FAILED, ("failed", "timeout"), ("sent", None), retries_from=2),
        _add(h, Call("retry", 130, 131, "ok", id=1, due_at=130.5)),
        put(s.rows[1], due_at=130.5, sent_at=131),
    ),
    "failed, retried and cancelled": lambda h, s: (
        _try(s, 1, _FAILED, ("failed", "timeout"), status="failed", code="timeout"),
        _add(h, Call("retry", 130, 131, "ok", id=1, due_at=140), Call("cancel", 132, 133, "ok", id=1)),
        put(s.rows[1], status="cancelled", due_at=140, sent_at=None, cancelled_at=132, cancel_reason="requested"),
    ),
}

BROKEN: dict[str, tuple[set[Kind], Change]] = {
    "sent, and nothing came": ({Kind.LOST}, lambda h, s: _come(h, 1)),
    "fewer came than were answered": (
        {Kind.LOST},
        lambda h, s: (_try(s, 1, _FAILED, _FAILED, ("sent", None)),),
    ),
    "no delivery": ({Kind.LOST, Kind.DOUBLED}, lambda h, s: s.deliveries.pop(2)),
    "still pending": (
        {Kind.LOST},
        lambda h, s: (_try(s, 1, _FAILED, _LOST, status="pending"), put(s.rows[1], status="sending", sent_at=None)),
    ),
    "still leased": (
        {Kind.LOST},
        lambda h, s: (_try(s, 1, _FAILED, status="leased"), put(s.rows[1], status="sending", sent_at=None)),
    ),
    "given up too soon": ({Kind.LOST}, lambda h, s: put(h.calls[1], retries=2)),
    "given up as lost too soon": (
        {Kind.LOST},
        lambda h, s: _try(s, 2, _LOST, _LOST, _LOST, ("failed", "lease-lost"), code="lease-lost"),
    ),
    "given up after a replay too soon": ({Kind.LOST}, lambda h, s: put(s.deliveries[2], retries_from=1)),
    "given up without an attempt": (
        {Kind.LOST, Kind.DOUBLED},
        lambda h, s: _try(s, 2, code="disabled"),
    ),
    "cancelled outside by nobody": ({Kind.LOST}, lambda h, s: _try(s, 2, _FAILED, _LOST, status="cancelled")),
    "expired before its end": (
        {Kind.LOST},
        lambda h, s: (
            put(s.batches[2], expires_at=500),
            _try(s, 2, _FAILED, _LOST, status="cancelled", code="expired"),
        ),
    ),
    "doubled without an attempt": ({Kind.DOUBLED}, lambda h, s: _come(h, 1, 110.2, 111, 112)),
    "repeated more than once": (
        {Kind.DOUBLED},
        lambda h, s: (_try(s, 1, ("sent", None)), _come(h, 1, 110, 111, 112), put(h.requests[-3], cut=True)),
    ),
    "doubled under another id": ({Kind.DOUBLED}, lambda h, s: put(h.requests[0], stable_id="ntf-j-11")),
    "under another's id": ({Kind.DOUBLED}, lambda h, s: _come(h, 1, 110.2, 111, stable_id="ntf-i-12")),
    "sent twice": ({Kind.WRONG}, lambda h, s: _try(s, 1, ("sent", None), ("sent", None))),
    "tried after it was sent": ({Kind.WRONG}, lambda h, s: _try(s, 1, ("sent", None), _FAILED)),
    "an attempt is gone": (
        {Kind.WRONG, Kind.DOUBLED},
        lambda h, s: s.deliveries[1].tried.pop(0),
    ),
    "too early": ({Kind.EARLY}, lambda h, s: put(h.requests[0], arrived=109)),
    "too early, though retried": (
        {Kind.EARLY},
        lambda h, s: (
            _try(s, 1, _FAILED, ("failed", "timeout"), status="failed", code="timeout"),
            _add(h, Call("retry", 130, 131, "ok", id=1, due_at=140)),
            put(s.rows[1], status="pending", due_at=300, sent_at=None),
            _add(h, Call("reschedule", 132, 133, "ok", id=1, due_at=300)),
            put(h.requests[0], arrived=109),
        ),
    ),
    "of a cancelled one": ({Kind.CANCELLED_BUT_SENT, Kind.DOUBLED}, lambda h, s: _come(h, 3, 151)),
    "of one cancelled by its reference": (
        {Kind.CANCELLED_BUT_SENT, Kind.DOUBLED},
        lambda h, s: (
            put(h.calls[4], kind="cancel_reference", id=None, reference="c", count=1),
            _come(h, 3, 151),
        ),
    ),
    "retried, cancelled, and came after that": (
        {Kind.CANCELLED_BUT_SENT},
        lambda h, s: (
            _try(s, 1, _FAILED, ("failed", "timeout"), status="failed", code="timeout"),
            _add(h, Call("retry", 130, 131, "ok", id=1, due_at=140), Call("cancel", 132, 133, "ok", id=1)),
            put(s.rows[1], status="cancelled", due_at=140, sent_at=None, cancelled_at=132, cancel_reason="requested"),
            _come(h, 1, 110, 141),
        ),
    ),
    "of what was rolled back": ({Kind.UNASKED}, lambda h, s: _come(h, 4, 111)),
    "on a channel that was not asked for": (
        {Kind.UNASKED},
        lambda h, s: (put(h.calls[1], channels=("inbox",)), put(s.batches[2], channels=["inbox"])),
    ),
    "stored for another channel": (
        {Kind.WRONG, Kind.UNASKED},
        lambda h, s: put(s.batches[2], channels=["inbox"]),
    ),
    "sent, and its delivery failed": (
        {Kind.WRONG},
        lambda h, s: _try(s, 1, _FAILED, ("failed", "timeout"), status="failed", code="timeout"),
    ),
    "failed, and its delivery was sent": ({Kind.WRONG}, lambda h, s: put(s.rows[1], status="failed", sent_at=None)),
    "still sending": ({Kind.WRONG}, lambda h, s: put(s.rows[1], status="sending", sent_at=None)),
    "pending again by nobody": (
        {Kind.WRONG},
        lambda h, s: (
            _try(s, 1, _FAILED, ("failed", "timeout"), status="failed", code="timeout"),
            put(s.rows[1], status="pending", due_at=210, sent_at=None),
            put(h.calls[0], due_at=210),
            _come(h, 1, 211, 212),
        ),
    ),
    "a place in the stream without the inbox": (
        {Kind.LOST, Kind.HOLE, Kind.WRONG},
        lambda h, s: put(s.rows[1], seq=2),
    ),
    "refused as sending, and pending": (
        {Kind.WRONG},
        lambda h, s: _add(h, Call("cancel", 120, 121, "failed", id=2, told="sending")),
    ),
    "another title": ({Kind.WRONG}, lambda h, s: put(h.requests[0], title="?")),
    "another recipient": ({Kind.WRONG}, lambda h, s: put(h.requests[0], recipient="bob")),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_may_be_has_no_verdict(name: str) -> None:
    assert _kinds(SOUND[name]) == set()


@pytest.mark.parametrize("name", BROKEN)
def test_what_may_not_be_is_seen(name: str) -> None:
    kinds, change = BROKEN[name]
    assert _kinds(change) == kinds
