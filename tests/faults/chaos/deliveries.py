"""Judges deliveries on the webhook: each is tried until it is sent or dead, and doubled only under the same id."""

from __future__ import annotations

from collections.abc import Iterator

from faults.chaos.case import Case
from faults.chaos.history import Batch, Call, Delivery, Request, Row
from faults.chaos.times import ever_due, is_early
from faults.chaos.verdicts import Kind, Verdict

OUTSIDE = "webhook"
# Leases that may be lost beyond all retries before it is not tried again; as courier.py has it.
_MOST_LOST = 3
_STATUS = {"pending": "sending", "leased": "sending", "sent": "sent", "failed": "failed", "cancelled": "cancelled"}


def judge_deliveries(case: Case) -> Iterator[Verdict]:
    """Every promise that was broken outside."""
    for row in case.stored.rows.values():
        call, batch = case.schedule(row), case.batch(row)
        if call is None:
            continue
        if set(call.channels) != set(batch.channels):
            yield Verdict(Kind.WRONG, f"{case.name(row)} is for {batch.channels}, asked was {call.channels}")
        if OUTSIDE in batch.channels:
            yield from _judge_row(case, row, call)
    yield from _judge_unasked(case)


def _judge_row(case: Case, row: Row, call: Call) -> Iterator[Verdict]:
    name, delivery = f"{case.name(row)}, {OUTSIDE}", case.stored.deliveries.get(row.id)
    requests = case.requests_of.get(row.id, [])
    if delivery is not None:
        yield from _judge_end(case, row, call, delivery, name)
        yield from _judge_attempts(delivery, name)
        yield from _judge_status(row, case.batch(row), delivery, _is_retried(case, row), name)
    elif row.status not in ("pending", "cancelled"):
        yield Verdict(Kind.LOST, f"{name}: is {row.status} without a delivery")
    yield from _judge_count(requests, delivery, name)
    yield from _judge_contents(case, row, requests, name)
    yield from _judge_moments(case, row, call, requests, name)


def _judge_end(case: Case, row: Row, call: Call, delivery: Delivery, name: str) -> Iterator[Verdict]:
    """After the calm it was sent, or may have been given up."""
    match delivery.status:
        case "sent":
            if not case.requests_of.get(row.id):
                yield Verdict(Kind.LOST, f"{name}: is sent, and nothing came")
        case "failed":
            if not _may_be_given_up(delivery, call.retries):
                yield Verdict(Kind.LOST, f"{name}: was given up ({delivery.code}) after {_shown(delivery)}")
        case "cancelled":
            expires_at = case.batch(row).expires_at
            expired = delivery.code == "expired" and expires_at is not None and expires_at <= case.stored.at
            if not expired:
                yield Verdict(Kind.LOST, f"{name}: was cancelled ({delivery.code}), the notification ends {expires_at}")
        case status:
            yield Verdict(Kind.LOST, f"{name}: is still {status} after {_shown(delivery)}")


def _may_be_given_up(delivery: Delivery, retries: int) -> bool:
    """Whether all retries that were asked for are used up. Lost leases count as tries, but do not end it so soon."""
    spared = _MOST_LOST if delivery.code == "lease-lost" else 0
    ended = bool(delivery.tried) and delivery.tried[-1].outcome == "failed"
    return ended and delivery.attempts - delivery.retries_from > retries + spared


def _judge_attempts(delivery: Delivery, name: str) -> Iterator[Verdict]:
    """They are 1, 2, 3, …, and the one that got through is the last."""
    if [attempt.number for attempt in delivery.tried] != list(range(1, delivery.attempts + 1)):
        yield Verdict(Kind.WRONG, f"{name}: {delivery.attempts} attempts are {_shown(delivery)}")
    sent = [attempt.number for attempt in delivery.tried if attempt.outcome == "sent"]
    if sent != [delivery.attempts] * (delivery.status == "sent"):
        yield Verdict(Kind.WRONG, f"{name}: is {delivery.status} after {_shown(delivery)}")


def _judge_status(row: Row, batch: Batch, delivery: Delivery, retried: bool, name: str) -> Iterator[Verdict]:
    """The notification says what its delivery says; with the inbox it was sent when the delivery was made."""
    expected = "sent" if batch.has_inbox else _STATUS[delivery.status]
    # A failed one that was retried goes through the drain again, and may be cancelled or expire before.
    again = retried and delivery.status == "failed" and row.status in ("pending", "cancelled")
    if row.status != expected and not again:
        yield Verdict(Kind.WRONG, f"{name}: is {delivery.status}, and the notification {row.status}")


def _judge_count(requests: list[Request], delivery: Delivery | None, name: str) -> Iterator[Verdict]:
    """Each request is explained by an attempt, each answer by a request, and all have the delivery's id."""
    stable_ids = {request.stable_id for request in requests}
    if len(stable_ids) > 1 or any(delivery and not one.endswith(f"-{delivery.id}") for one in stable_ids):
        yield Verdict(Kind.DOUBLED, f"{name}: came under the ids {sorted(stable_ids)}")
    tried = delivery.tried if delivery else []
    under_way = delivery is not None and delivery.status == "leased"
    # When a kept connection breaks off, its call is repeated at once over a fresh one: that is the same attempt.
    repeated = sum(request.cut for request in requests)
    if len(requests) > len(tried) + under_way + repeated:
        yield Verdict(Kind.DOUBLED, f"{name}: came {len(requests)} times, {repeated} cut off, of {_shown(delivery)}")
    answered = sum(attempt.outcome == "sent" or (attempt.code or "").startswith("http-") for attempt in tried)
    if 0 < len(requests) < answered:
        yield Verdict(Kind.LOST, f"{name}: came {len(requests)} times, and was answered {answered} times")


def _judge_contents(case: Case, row: Row, requests: list[Request], name: str) -> Iterator[Verdict]:
    batch = case.batch(row)
    for request in requests:
        said = request.recipient, request.title, request.reference
        if said != (row.recipient, batch.title, batch.reference):
            yield Verdict(Kind.WRONG, f"{name}: said {said}")


def _judge_moments(case: Case, row: Row, call: Call, requests: list[Request], name: str) -> Iterator[Verdict]:
    """None before its time, and none of what was cancelled."""
    times = ever_due(call, case.batch(row), case.changes.get(row.id, []))
    # One that failed, was retried and is then cancelled had come before.
    ends = [cancel.ended for cancel in case.cancels.get(row.id, []) if cancel.outcome == "ok"]
    cancelled_from = min(ends, default=row.cancelled_at or 0.0) if _is_retried(case, row) else 0.0
    cancelled = bool(ends) or row.cancel_reason == "requested"
    for request in requests:
        if is_early(request.arrived, times):
            yield Verdict(Kind.EARLY, f"{name}: came at {request.arrived}, due {times}")
        if cancelled and request.arrived > cancelled_from:
            yield Verdict(Kind.CANCELLED_BUT_SENT, f"{name}: was cancelled, and came at {request.arrived}")


def _judge_unasked(case: Case) -> Iterator[Verdict]:
    """Nothing comes of what is not stored, or is for other channels."""
    for id, requests in case.requests_of.items():
        row = case.stored.rows.get(id)
        if row is None or OUTSIDE not in case.batch(row).channels:
            told = requests[0]
            yield Verdict(Kind.UNASKED, f"{told.reference}: {id} of {told.recipient} came {len(requests)} times")


def _is_retried(case: Case, row: Row) -> bool:
    return any(call.kind == "retry" and call.outcome != "failed" for call in case.changes.get(row.id, []))


def _shown(delivery: Delivery | None) -> str:
    if delivery is None:
        return "no delivery"
    tried = [f"{attempt.number} {attempt.outcome} {attempt.code or ''}".strip() for attempt in delivery.tried]
    return ", ".join(tried) or "no attempt"
