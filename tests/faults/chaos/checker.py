"""Judges a history by the promises: pure, from what was said and heard and the rows at the end to verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from faults.chaos.case import Case
from faults.chaos.deliveries import judge_deliveries
from faults.chaos.history import Batch, Call, History, Row, Stored
from faults.chaos.streams import judge_streams
from faults.chaos.times import due_times, is_early
from faults.chaos.verdicts import Kind, Verdict

__all__ = ["check"]

# Answers that are kept under their key; another refusal changed nothing and may be mended.
_KEPT = (200, 201, 404, 409)
# What is overdue by so little when the rows are read is not late yet.
_OVERDUE_SECONDS = 1.0


def check(history: History, stored: Stored) -> list[Verdict]:
    """Every promise that was broken."""
    case = Case.of(history, stored)
    return [
        *_judge_schedules(case),
        *_judge_rows(case),
        *_judge_times(case),
        *_judge_cancels(case),
        *_judge_refusals(case),
        *_judge_repeats(case),
        *judge_streams(history, stored),
        *judge_deliveries(case),
    ]


def _judge_schedules(case: Case) -> Iterator[Verdict]:
    """What was acknowledged is stored, once; what was refused or rolled back is not."""
    for reference, call in case.schedules.items():
        batches = case.batches_of.get(reference, [])
        rows = [row for batch in batches for row in case.rows_of[batch.id]]
        if call.outcome == "failed" and batches:
            yield Verdict(Kind.ROLLED_BACK, f"{reference} was refused or rolled back ({call.why}), and is stored")
        if len(batches) > 1:
            yield Verdict(Kind.DOUBLED, f"{reference} is stored as batches {[batch.id for batch in batches]}")
        yield from _judge_ids(call, rows)
    yield from _judge_unknown_batches(case)


def _judge_ids(call: Call, rows: list[Row]) -> Iterator[Verdict]:
    stored = {row.id: row.recipient for row in rows}
    if call.outcome == "ok":
        for recipient, id in call.ids.items():
            if stored.get(id) != recipient:
                yield Verdict(Kind.LOST, f"{call.reference}: {id} of {recipient} was acknowledged and is not stored")
    if stored or call.outcome == "ok":
        count = Counter(stored.values())
        for recipient in sorted(set(call.recipients) - set(count)):
            yield Verdict(Kind.LOST, f"{call.reference}: {recipient} was left out")
        for recipient, times in count.items():
            if times > 1:
                yield Verdict(Kind.DOUBLED, f"{call.reference}: {recipient} has it {times} times")


def _judge_unknown_batches(case: Case) -> Iterator[Verdict]:
    for reference in case.batches_of:
        if reference not in case.schedules:
            yield Verdict(Kind.ROLLED_BACK, f"{reference} is stored, and nobody asked for it")


def _judge_rows(case: Case) -> Iterator[Verdict]:
    """What was due is sent once, unless it was cancelled or had expired. Where the inbox is no channel of it, its
    deliveries decide."""
    for row in case.stored.rows.values():
        name = case.name(row)
        match row.status:
            case "sent":
                if row.sent_at is None or (row.seq is not None) != case.batch(row).has_inbox:
                    yield Verdict(Kind.LOST, f"{name} is sent, and its place in the stream is {row.seq}")
            case "cancelled":
                yield from _judge_cancelled(case, row, name)
            case "pending":
                if row.due_at < case.stored.at - _OVERDUE_SECONDS:
                    yield Verdict(Kind.LOST, f"{name} was due {case.stored.at - row.due_at:.1f} s ago")
            case _ if case.batch(row).has_inbox:
                yield Verdict(Kind.LOST, f"{name} is {row.status}: {row.failure_reason}")


def _judge_cancelled(case: Case, row: Row, name: str) -> Iterator[Verdict]:
    if row.cancel_reason == "expired":
        expires_at = case.batch(row).expires_at
        if expires_at is None or row.cancelled_at is None or row.cancelled_at < expires_at:
            yield Verdict(Kind.LOST, f"{name} was cancelled as expired at {row.cancelled_at}, not at {expires_at}")
        return
    asked = [*case.cancels.get(row.id, []), *case.cancels_of.get(case.batch(row).reference or "", [])]
    if all(call.outcome == "failed" for call in asked):
        yield Verdict(Kind.LOST, f"{name} was cancelled, and nobody had asked for it")


def _judge_times(case: Case) -> Iterator[Verdict]:
    """The last acknowledged time holds, and nothing is sent before it."""
    for row in case.stored.rows.values():
        batch = case.batch(row)
        call = case.schedule(row)
        if call is None:
            continue
        name = case.name(row)
        times = due_times(call, batch, case.changes.get(row.id, []))
        if not any(time.holds(row.due_at) for time in times):
            yield Verdict(Kind.RESCHEDULE, f"{name} is due at {row.due_at:.6f}, acknowledged was {times}")
        if is_early(row.sent_at, times) or (row.sent_at or 0) > case.stored.at + 0.001:
            yield Verdict(Kind.EARLY, f"{name} was sent at {row.sent_at}, due {times}, read at {case.stored.at}")
        for frame in case.frames_of.get(row.id, []):
            if is_early(frame.arrived, times):
                yield Verdict(Kind.EARLY, f"{name} was heard at {frame.arrived}, due {times}")


def _judge_cancels(case: Case) -> Iterator[Verdict]:
    """Cancelled with 200: never sent."""
    for id, calls in case.cancels.items():
        row = case.stored.rows.get(id)
        if row is None or not any(call.outcome == "ok" for call in calls):
            continue
        if row.status != "cancelled":
            yield Verdict(Kind.CANCELLED_BUT_SENT, f"{id} was cancelled with 200 and is {row.status}")
        if id in case.frames_of:
            yield Verdict(Kind.CANCELLED_BUT_SENT, f"{id} was cancelled with 200 and was heard")
    yield from _judge_cancelled_counts(case)


def _judge_cancelled_counts(case: Case) -> Iterator[Verdict]:
    """By reference a count is told, not ids: there must be at least as many."""
    for reference, calls in case.cancels_of.items():
        rows = [row for batch in case.batches_of.get(reference, []) for row in case.rows_of[batch.id]]
        told = sum(call.count for call in calls if call.outcome == "ok")
        told += sum(1 for row in rows for call in case.cancels.get(row.id, []) if call.outcome == "ok")
        really = sum(row.cancel_reason == "requested" for row in rows)
        if really < told:
            yield Verdict(Kind.CANCELLED_BUT_SENT, f"{reference}: {told} were cancelled, {really} are")


def _judge_refusals(case: Case) -> Iterator[Verdict]:
    """A refusal names a status that fits, and what is known is found."""
    for calls in (*case.cancels.values(), *case.changes.values()):
        for call in calls:
            row = case.stored.rows.get(call.id or 0)
            if call.outcome != "failed" or row is None:
                continue
            if call.told is not None and not _fits(call, row, case.batch(row)):
                yield Verdict(Kind.WRONG, f"{call.kind} of {row.id} was told {call.told}, and it is {row.status}")


def _fits(refused: Call, row: Row, batch: Batch) -> bool:
    """Whether what was told then can be followed by what is now."""
    match refused.told:
        case "sent" | "cancelled":
            return row.status == refused.told
        case "failed":  # a retry may have come since
            return refused.kind != "retry"
        case "sending":  # and whatever its deliveries made of it
            return not batch.has_inbox
        case "pending":  # and not overdue yet
            return refused.kind == "retry"
    return False


def _judge_repeats(case: Case) -> Iterator[Verdict]:
    """The same key gives the first answer, marked as a replay."""
    for call in case.history.calls:
        kept = [answer for answer in call.answers if answer.status in _KEPT]
        for again in kept[1:]:
            name = f"{call.kind} {call.reference or call.id} with key {call.key}"
            if (again.status, again.body) != (kept[0].status, kept[0].body):
                yield Verdict(Kind.REPLAY, f"{name}: {again.status} {again.body!r}, before {kept[0]}")
            elif not again.replayed:
                yield Verdict(Kind.REPLAY, f"{name}: repeated and not marked as a replay")
        if kept and call.outcome == "ok" and len(kept) < len(call.answers):
            yield Verdict(Kind.REPLAY, f"{call.kind} {call.key}: kept, then {[a.status for a in call.answers]}")
