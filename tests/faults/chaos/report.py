"""What a run showed, as a table for people and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from faults.chaos.history import Call, Frame
from faults.chaos.run import Result
from faults.chaos.verdicts import Kind

RECOVERY_SECONDS = 60.0
_SHOWN = 5


def is_good(result: Result) -> bool:
    """No promise was broken, everything came to rest, and never later than promised."""
    return not result.verdicts and not result.unsettled and result.recovery <= RECOVERY_SECONDS


def summary(result: Result) -> dict[str, Any]:
    """All numbers."""
    broken = Counter(verdict.kind for verdict in result.verdicts)
    lateness = sorted(_lateness(result))
    return {
        "seed": result.seed,
        "good": is_good(result),
        "seconds": round(result.seconds, 1),
        "operations": _operations(result.history.calls),
        "unknown for": dict(Counter(call.why for call in result.history.calls if call.outcome == "unknown")),
        "faults": dict(sorted(result.struck.items())),
        "faults missed": dict(result.missed),
        "broken": {kind.value: broken[kind] for kind in Kind},
        "notifications": len(result.stored.rows) if result.stored else 0,
        **_outside(result),
        "frames": sum(1 for _ in result.history.frames),
        "closes": dict(Counter(code for heard in result.history.listeners.values() for code in heard.closes)),
        "exits": result.exits,
        "longest recovery": round(result.recovery, 1),
        "waited for": result.waited_for,
        "unsettled": result.unsettled,
        "lateness": {name: _percentile(lateness, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
        "verdicts": [f"{verdict.kind.value}: {verdict.text}" for verdict in result.verdicts],
    }


def table(result: Result) -> str:
    """The same for people; of each broken promise the first few cases."""
    told = summary(result)
    lines = [f"seed {result.seed}: {'good' if told['good'] else 'BROKEN'} after {told['seconds']} s", ""]
    lines += [f"{'operation':<18}{'ok':>8}{'failed':>8}{'unknown':>8}"]
    for kind, counts in told["operations"].items():
        lines.append(f"{kind:<18}{counts['ok']:>8}{counts['failed']:>8}{counts['unknown']:>8}")
    for name in ("unknown for", "faults", "faults missed", "closes", "exits", "lateness"):
        lines.append(f"{name}: {', '.join(f'{key} {count}' for key, count in told[name].items())}")
    lines += ["", *(f"{name:<28}{count:>6}" for name, count in told["broken"].items()), ""]
    lines += [
        f"{name:<28}{told[name]:>6}" for name in ("notifications", *_outside(result), "frames", "longest recovery")
    ]
    lines[-1] += f"  {result.waited_for}"
    return "\n".join(lines + [f"unsettled: {result.unsettled}"] * bool(result.unsettled) + _first_cases(result))


def _outside(result: Result) -> dict[str, int]:
    """What went to the webhook. Doubles: requests beyond the first under the same id."""
    deliveries = result.stored.deliveries.values() if result.stored else ()
    requests = result.history.requests
    return {
        "outside deliveries": len(deliveries),
        "given up": sum(delivery.status == "failed" for delivery in deliveries),
        "leases lost": sum(attempt.code == "lease-lost" for delivery in deliveries for attempt in delivery.tried),
        "requests": len(requests),
        "doubles under the same id": len(requests) - len({request.stable_id for request in requests}),
        "of a connection cut off": sum(request.cut for request in requests),
    }


def _first_cases(result: Result) -> list[str]:
    seen: Counter[Kind] = Counter()
    lines = []
    for kind, text in result.verdicts:
        seen[kind] += 1
        if seen[kind] <= _SHOWN:
            lines.append(f"{kind.value}: {text}")
    return lines


def _operations(calls: list[Call]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for call in calls:
        counts.setdefault(call.kind, {"ok": 0, "failed": 0, "unknown": 0})[call.outcome] += 1
    return dict(sorted(counts.items()))


def _lateness(result: Result) -> list[float]:
    """From when it was due and asked for until it was first heard."""
    first: dict[int, Frame] = {}
    for frame in result.history.frames:
        first.setdefault(frame.id, frame)
    known = {id: call for call in result.history.calls if call.outcome == "ok" for id in call.ids.values()}
    late = []
    for id, frame in first.items():
        if (call := known.get(id)) is not None:
            accepted = call.ended if call.kind == "sql_schedule" else call.started
            late.append(max(0.0, frame.arrived - max(frame.due_at, accepted)))
    return late


def _percentile(ordered: list[float], part: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 3) if ordered else 0.0
