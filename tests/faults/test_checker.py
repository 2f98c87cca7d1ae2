"""The checker of the chaos run: each promise, broken on purpose, is seen as what it is; a sound history is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.chaos.checker import check
from faults.chaos.history import Answer, Batch, Call, Frame, Heard, History, Mailbox, Opened, Reset, Row, Stored, Tick
from faults.chaos.observer import Recovery
from faults.chaos.verdicts import Kind
from helpers.changes import put

Change = Callable[[History, Stored], object]


def _case() -> tuple[History, Stored]:
    """Two batches: `a` for ada and bob, sent and heard; `b` for ada, cancelled; `c` for ada, moved; `x` undone."""
    calls = [
        Call("schedule", 100, 101, "ok", key="k1", reference="a", recipients=("ada", "bob"), due_at=110),
        Call("schedule", 100, 101, "ok", reference="b", recipients=("ada",), due_at=120),
        Call("sql_schedule", 100, 101, "ok", reference="c", recipients=("ada",), due_at=130),
        Call("sql_schedule", 100, 101, "failed", reference="x", recipients=("ada",)),
        Call("cancel", 102, 103, "ok", id=3),
        Call("cancel", 112, 113, "failed", id=1, told="sent"),
        Call("reschedule", 102, 103, "ok", id=4, due_at=140),
        Call("reschedule", 104, 105, "ok", id=4, due_at=125),
    ]
    calls[0].ids, calls[1].ids, calls[2].ids = {"ada": 1, "bob": 2}, {"ada": 3}, {"ada": 4}
    calls[0].answers = [Answer(201, b"{}"), Answer(201, b"{}", replayed=True)]
    listeners = {
        "ada": Heard(
            "ada", [Opened(0, "e", 0), _frame(1, 1, "ada", "a", 110), _frame(2, 4, "ada", "c", 125)], handled=2
        ),
        "bob": Heard("bob", [Opened(0, "e", 0), _frame(1, 2, "bob", "a", 110), Tick(1)], handled=1),
    }
    batches = {
        1: Batch(1, "a", "Title of a", 110, None),
        2: Batch(2, "b", "Title of b", 120, None),
        3: Batch(3, "c", "Title of c", 130, None),
    }
    rows = [
        Row(1, 1, "ada", "sent", 110, 1, 110.1),
        Row(2, 1, "bob", "sent", 110, 1, 110.1),
        Row(3, 2, "ada", "cancelled", 120, cancelled_at=103, cancel_reason="requested"),
        Row(4, 3, "ada", "sent", 125, 2, 125.1),
    ]
    mailboxes = {"ada": Mailbox("ada", 2, 2), "bob": Mailbox("bob", 1, 1)}
    return History(calls, listeners), Stored(200, batches, {row.id: row for row in rows}, mailboxes)


def _frame(seq: int, id: int, recipient: str, reference: str, due_at: float, arrived: float = 0) -> Frame:
    return Frame(seq, id, recipient, f"Title of {reference}", reference, due_at, due_at + 0.1, arrived or due_at + 0.2)


def _kinds(change: Change) -> set[Kind]:
    history, stored = _case()
    change(history, stored)
    return {verdict.kind for verdict in check(history, stored)}


def _hear(history: History, place: int, **values: object) -> object:
    """Change a frame of ada's."""
    return put(history.listeners["ada"].events[place], **values)


def _add(history: History, *calls: Call) -> object:
    history.calls.extend(calls)
    return history


def test_sound_history_has_no_verdict() -> None:
    assert _kinds(lambda history, stored: None) == set()


SOUND: dict[str, Change] = {
    "an unknown schedule that is not stored": lambda h, s: _add(
        h, Call("schedule", 100, reference="u", recipients=("ada",))
    ),
    "an unknown reschedule that won": lambda h, s: (
        _add(h, Call("reschedule", 101, id=4, due_at=124)),
        put(s.rows[4], due_at=124),
        _hear(h, 2, due_at=124),
    ),
    "overlapping reschedules, the other won": lambda h, s: (
        _add(h, Call("reschedule", 104.5, 106, "ok", id=4, due_at=124)),
    ),
    "an unknown send": lambda h, s: (
        _add(h, Call("send", 104, id=4)),
        put(s.rows[4], due_at=107, sent_at=107.1),
        _hear(h, 2, due_at=107, sent_at=107.1, arrived=107.2),
    ),
    "expired": lambda h, s: (
        put(s.batches[2], expires_at=121),
        put(s.rows[3], cancel_reason="expired", cancelled_at=121),
        put(h.calls[4], outcome="failed", told="cancelled"),
    ),
    "heard again after a reconnect": lambda h, s: h.listeners["ada"].events.extend(
        [Opened(1, "e", 2), _frame(2, 4, "ada", "c", 125)]
    ),
    "resumed by the server": lambda h, s: h.listeners["ada"].events.extend(
        [Opened(None, "e", 2), _frame(1, 1, "ada", "a", 110), _frame(2, 4, "ada", "c", 125)]
    ),
    "a reset, and the inbox read": lambda h, s: put(
        h.listeners["bob"],
        events=[Opened(0, "e", 1), Reset(1), Frame(1, 2, "bob", "Title of a", "a", 110, 110.1, 111, live=False)],
    ),
}

BROKEN: dict[str, tuple[set[Kind], Change]] = {
    "an acknowledged row is gone": ({Kind.LOST, Kind.HOLE, Kind.WRONG}, lambda h, s: s.rows.pop(1)),
    "an acknowledged batch is gone": ({Kind.LOST}, lambda h, s: (s.rows.pop(3), s.batches.pop(2))),
    "overdue at the end": (
        {Kind.LOST},
        lambda h, s: (
            put(s.rows[4], status="pending", seq=None, sent_at=None),
            h.listeners["ada"].events.pop(),
            put(s.mailboxes["ada"], last_seq=1, unread=1),
        ),
    ),
    "parked": ({Kind.LOST}, lambda h, s: (put(s.rows[3], status="failed", cancel_reason=None), h.calls.pop(4))),
    "cancelled by nobody": ({Kind.LOST}, lambda h, s: h.calls.pop(4)),
    "expired, and had no end": ({Kind.LOST}, lambda h, s: put(s.rows[3], cancel_reason="expired")),
    "stored twice": ({Kind.DOUBLED}, lambda h, s: s.batches.update({4: Batch(4, "a", "Title of a", 110, None)})),
    "left out of an unknown one": (
        {Kind.LOST},
        lambda h, s: put(h.calls[2], outcome="unknown", recipients=("ada", "bob")),
    ),
    "two of one batch": (
        {Kind.DOUBLED},
        lambda h, s: (
            s.rows.update({5: Row(5, 2, "ada", "cancelled", 120, cancelled_at=1, cancel_reason="requested")}),
            _add(h, Call("cancel", 102, id=5)),
        ),
    ),
    "one seq of two rows": ({Kind.DOUBLED, Kind.HOLE}, lambda h, s: put(s.rows[4], seq=1)),
    "one id under two seqs": (
        {Kind.DOUBLED},
        lambda h, s: h.listeners["ada"].events.append(_frame(3, 4, "ada", "c", 125)),
    ),
    "sent early": ({Kind.EARLY, Kind.WRONG}, lambda h, s: put(s.rows[1], sent_at=109)),
    "sent in the future": ({Kind.EARLY, Kind.WRONG}, lambda h, s: put(s.rows[1], sent_at=3700)),
    "heard early": ({Kind.EARLY}, lambda h, s: _hear(h, 1, arrived=109)),
    "rescheduled to later and heard before": ({Kind.EARLY}, lambda h, s: _hear(h, 2, arrived=124)),
    "a frame left out": ({Kind.HOLE}, lambda h, s: h.listeners["ada"].events.pop(1)),
    "never heard": ({Kind.HOLE}, lambda h, s: h.listeners["ada"].events.pop(2)),
    "heard twice in one connection": (
        {Kind.HOLE},
        lambda h, s: h.listeners["ada"].events.append(_frame(2, 4, "ada", "c", 125)),
    ),
    "the server skipped some": (
        {Kind.HOLE},
        lambda h, s: put(h.listeners["ada"], events=[Opened(None, "e", 2), _frame(2, 4, "ada", "c", 125)]),
    ),
    "a tick told more than was sent": ({Kind.HOLE}, lambda h, s: h.listeners["bob"].events.append(Tick(2))),
    "another epoch": ({Kind.HOLE}, lambda h, s: h.listeners["bob"].events.append(Opened(1, "f", 1))),
    "a hole in the rows": ({Kind.HOLE, Kind.DOUBLED}, lambda h, s: put(s.rows[4], seq=3)),
    "last_seq beyond the rows": ({Kind.HOLE}, lambda h, s: put(s.mailboxes["bob"], last_seq=2)),
    "unread is wrong": ({Kind.WRONG}, lambda h, s: put(s.mailboxes["bob"], unread=0)),
    "cancelled, and pending": (
        {Kind.CANCELLED_BUT_SENT, Kind.LOST},
        lambda h, s: put(s.rows[3], status="pending", cancel_reason=None),
    ),
    "cancelled, and heard": (
        {Kind.CANCELLED_BUT_SENT},
        lambda h, s: h.listeners["ada"].events.append(_frame(3, 3, "ada", "b", 120)),
    ),
    "fewer cancelled than told": (
        {Kind.CANCELLED_BUT_SENT},
        lambda h, s: _add(h, Call("cancel_reference", 102, 103, "ok", reference="b", count=1)),
    ),
    "rolled back and there": (
        {Kind.ROLLED_BACK},
        lambda h, s: s.batches.update({4: Batch(4, "x", "Title of x", 110, None)}),
    ),
    "stored for nobody": ({Kind.ROLLED_BACK}, lambda h, s: s.batches.update({4: Batch(4, "y", "Y", 110, None)})),
    "another answer to the same key": ({Kind.REPLAY}, lambda h, s: put(h.calls[0].answers[1], body=b"[]")),
    "a replay that does not say so": ({Kind.REPLAY}, lambda h, s: put(h.calls[0].answers[1], replayed=False)),
    "refused after it was done": ({Kind.REPLAY}, lambda h, s: h.calls[0].answers.append(Answer(422, b"{}"))),
    "an older reschedule won": ({Kind.RESCHEDULE, Kind.WRONG}, lambda h, s: put(s.rows[4], due_at=124.5)),
    "a reschedule was ignored": (
        {Kind.RESCHEDULE},
        lambda h, s: (put(s.rows[4], due_at=130, sent_at=130.1), _hear(h, 2, due_at=130, sent_at=130.1)),
    ),
    "refused as sent, and is not": ({Kind.WRONG}, lambda h, s: put(h.calls[5], id=3)),
    "refused as pending": ({Kind.WRONG}, lambda h, s: put(h.calls[5], told="pending")),
    "not found": ({Kind.WRONG}, lambda h, s: put(h.calls[5], told="not found")),
    "another title": ({Kind.WRONG}, lambda h, s: _hear(h, 1, title="?")),
    "heard by another": ({Kind.WRONG}, lambda h, s: _hear(h, 1, recipient="bob")),
    "heard and not stored": (
        {Kind.LOST},
        lambda h, s: h.listeners["bob"].events.append(_frame(2, 9, "bob", "a", 110)),
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_may_be_has_no_verdict(name: str) -> None:
    assert _kinds(SOUND[name]) == set()


@pytest.mark.parametrize("name", BROKEN)
def test_what_may_not_be_is_seen(name: str) -> None:
    kinds, change = BROKEN[name]
    assert _kinds(change) == kinds


def test_recovery_counts_what_is_not_well_while_no_fault_lasts() -> None:
    recovery = Recovery()
    steps = [(0, 0, ""), (1, 1, "a"), (5, 1, "a"), (6, 0, "a"), (8, 0, "b"), (9, 0, ""), (10, 0, "c")]
    for now, lasting, ill in steps:
        recovery.note(now, lasting=lasting, ill=ill)
    assert (recovery.longest, recovery.spell, recovery.reason) == (3, 1, "b")
