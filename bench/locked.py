"""One mailbox is locked by another session while those of 100,000 others are due."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack

import psycopg

from bench import rows
from bench.context import Bench
from bench.report import Figure, ratio_at_least
from notify.dispatch import drain_all
from notify.faults import Quarantine
from notify.postgres.connection import connect

_OTHERS = 100_000
_OF_LOCKED = 20
_CHUNK = 1_000
# In turns, as what becomes slower by and by is to meet both; the medians, as a checkpoint may meet one.
_ORDER = (False, True, True, False, False, True)

_SENT_BY_RECIPIENT = """
select count(*) filter (where n.recipient <> %(locked)s), count(*) filter (where n.recipient = %(locked)s)
from notify.notification n where n.status = 'sent'
"""


def measure(bench: Bench) -> list[Figure]:
    """The others' rows a second."""
    others = bench.size(_OTHERS)
    rates: dict[bool, list[float]] = {False: [], True: []}
    with bench.progress("locked: rounds", len(_ORDER)) as done:
        for number, locked in enumerate(_ORDER):
            rates[locked].append(_round(bench, others, locked=locked))
            done(number + 1)
    return [
        Figure(
            topic="locked",
            what=f"drain of {others:,} while the mailbox of one more recipient is locked by another session",
            value=statistics.median(rates[True]),
            unit="rows/s",
            yardstick="the same without the lock",
            against=statistics.median(rates[False]),
            aims=(ratio_at_least(0.9),),
        )
    ]


def _round(bench: Bench, others: int, *, locked: bool) -> float:
    """Rows a second of one pass. Raises RuntimeError unless all were sent but those of the locked mailbox."""
    with ExitStack() as until:
        url = until.enter_context(bench.cluster.database())
        db = until.enter_context(psycopg.connect(url, autocommit=True))
        first, *names = rows.register(db, others + 1)
        # Those of the one mailbox come first, in the middle of and behind all others.
        half = len(names) // 2
        few = [[first]] * (_OF_LOCKED // 4)
        since = rows.schedule_at_once(db, [*few, names[:half], *few, *few, names[half:], *few], lambda _: None)
        if locked:
            holder = until.enter_context(psycopg.connect(url))
            holder.execute("select from notify.mailbox where recipient = %s for update", (first,))
        rows.sleep_until(since)
        seconds = asyncio.run(_pass(url))
        of_others, of_first = db.execute(_SENT_BY_RECIPIENT, {"locked": first}).fetchone() or (0, 0)
    if of_others != others or of_first != (0 if locked else _OF_LOCKED):
        raise RuntimeError(f"{of_others} of the {others} others were sent, and {of_first} of {_OF_LOCKED}")
    return others / seconds


async def _pass(url: str) -> float:
    """Seconds that the worker's loop takes for all that is due and not locked."""
    async with await connect(url, name="bench") as connection:
        started = time.perf_counter()
        await drain_all(connection, Quarantine(), max_rows=_CHUNK)
        return time.perf_counter() - started
