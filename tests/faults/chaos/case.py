"""A history by what it is about: all that was said and heard of one reference or notification, beside its rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from faults.chaos.history import Batch, Call, Frame, History, Request, Row, Stored

_SCHEDULES = ("schedule", "sql_schedule")
_CHANGES = ("reschedule", "send", "retry")


@dataclass(slots=True)
class Case:
    """The history by what it is about."""

    history: History
    stored: Stored
    schedules: dict[str, Call]
    changes: dict[int, list[Call]]
    cancels: dict[int, list[Call]]
    cancels_of: dict[str, list[Call]]
    batches_of: dict[str, list[Batch]]
    rows_of: dict[int, list[Row]]
    frames_of: dict[int, list[Frame]]
    requests_of: dict[int, list[Request]]

    @classmethod
    def of(cls, history: History, stored: Stored) -> Case:
        groups: list[defaultdict[Any, list[Any]]] = [defaultdict(list) for _ in range(7)]
        case = cls(history, stored, {}, *groups)
        for call in history.calls:
            case._sort(call)
        for batch in stored.batches.values():
            if batch.reference is not None:
                case.batches_of[batch.reference].append(batch)
        for row in stored.rows.values():
            case.rows_of[row.batch_id].append(row)
        for frame in history.frames:
            case.frames_of[frame.id].append(frame)
        for request in history.requests:
            case.requests_of[request.id].append(request)
        return case

    def _sort(self, call: Call) -> None:
        if call.kind in _SCHEDULES and call.reference is not None:
            self.schedules[call.reference] = call
        elif call.kind in _CHANGES and call.id is not None:
            self.changes[call.id].append(call)
        elif call.kind == "cancel" and call.id is not None:
            self.cancels[call.id].append(call)
        elif call.kind == "cancel_reference" and call.reference is not None:
            self.cancels_of[call.reference].append(call)

    def batch(self, row: Row) -> Batch:
        return self.stored.batches[row.batch_id]

    def schedule(self, row: Row) -> Call | None:
        """What asked for it."""
        return self.schedules.get(self.batch(row).reference or "")

    def name(self, row: Row) -> str:
        return f"{self.batch(row).reference}: {row.id} of {row.recipient}"
