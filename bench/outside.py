"""Deliveries on outside channels to local sinks, beside the client libraries alone."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import msgspec
import psycopg

from bench import rows, stack
from bench.context import Bench
from bench.report import Figure, ratio_at_least
from notify.config import Settings

_COUNT = 10_000
_SECRET = "whsec_bWVhc3VyZWQgb24gdGhpcyBtYWNoaW5lIG9ubHk="
_WAIT_SECONDS = 120.0
# How fast it went is read from the rows: looking at them often would only slow it down.
_LOOK_SECONDS = 0.5

_ADDRESSES = """
update notify.recipient r set addresses = jsonb_build_object(
  'email', r.id || '@example.org', 'webhook', jsonb_build_object('url', %(url)s::text, 'secret', %(secret)s::text))
"""
_SCHEDULE = """
select count(s.notification_id) from notify.schedule(
  %(recipients)s::text[], 'Bench', 'A message of usual length, as people write it.',
  scheduled_at => %(at)s, channels => array[%(channel)s]
) s
"""
_LEFT = "select count(*) from notify.notification where status in ('pending', 'sending')"
_SENT = """
select count(*) filter (where d.status = 'sent' and d.attempts = 1), max(d.sent_at)
from notify.delivery d where d.channel = %s
"""


class _Sinks(msgspec.Struct, frozen=True):
    smtp_port: int
    http_port: int

    def taken(self) -> tuple[int, int]:
        """Mails and calls so far."""
        counted = httpx.get(f"http://127.0.0.1:{self.http_port}/").json()
        return counted["mails"], counted["calls"]


def measure(bench: Bench) -> list[Figure]:
    """Mails and webhooks a second, from the instant at which all are due until the last was taken."""
    count = bench.size(_COUNT)
    program = (sys.executable, "-m", "bench.yardsticks.sinks")
    with stack.run(program, {}, r"sinks at 127\.0\.0\.1 (\d+ \d+) ") as running:
        sinks = _Sinks(*map(int, running.url.split()))
        with bench.progress("outside: the clients alone", 2 * count) as done:
            bare_mail = _bare("mail", sinks.smtp_port, count, Settings().smtp_connections)
            done(count)
            bare_calls = _bare("webhook", sinks.http_port, count, Settings().webhook_concurrency)
        mails = _ours(bench, sinks, "email", count)
        calls = _ours(bench, sinks, "webhook", count)
    return [
        Figure(
            topic="outside",
            what=f"{count:,} mails due at one instant, to a mail server on the same machine",
            value=mails,
            unit="/s",
            yardstick="aiosmtplib and EmailMessage alone, as many connections",
            against=bare_mail,
            aims=(ratio_at_least(0.5),),
        ),
        Figure(
            topic="outside",
            what=f"{count:,} webhooks due at one instant, to a receiver on the same machine",
            value=calls,
            unit="/s",
            yardstick="aiohttp and standardwebhooks alone, as many calls under way",
            against=bare_calls,
            aims=(ratio_at_least(0.5),),
        ),
    ]


def _bare(kind: str, port: int, count: int, at_once: int) -> float:
    program = (sys.executable, "-m", "bench.yardsticks.bare_clients", kind, str(port), str(count), str(at_once))
    done = subprocess.run(program, capture_output=True, text=True, timeout=_WAIT_SECONDS)
    if done.returncode:
        raise RuntimeError(f"{program!r}: {done.stderr}")
    return float(done.stdout)


def _ours(bench: Bench, sinks: _Sinks, channel: str, count: int) -> float:
    """Deliveries a second. Raises RuntimeError unless each was sent at its first attempt, and the sink took as many."""
    settings = {
        "smtp_url": f"smtp://127.0.0.1:{sinks.smtp_port}",
        "smtp_from": "bench@example.org",
        "smtp_tls": "off",
        "outside_allow": "127.0.0.0/8",
    }
    before = sinks.taken()
    with (
        bench.cluster.database() as url,
        psycopg.connect(url, autocommit=True) as db,
        bench.progress(f"outside: {channel}", count) as done,
    ):
        names = rows.register(db, count)
        db.execute(_ADDRESSES, {"url": f"http://127.0.0.1:{sinks.http_port}/hook", "secret": _SECRET})
        db.execute("vacuum analyze notify.recipient")
        with stack.notify("worker", database_url=url, **settings):
            stack.wait_for(url, "select count(*) from notify.channel where name = %s", [channel], 1)
            at: datetime = rows.value(db, "select clock_timestamp() + interval '2 seconds'")
            rows.value(db, _SCHEDULE, {"recipients": names, "at": at, "channel": channel})
            rows.sleep_until(at)
            ends = time.monotonic() + _WAIT_SECONDS
            while left := rows.value(db, _LEFT):
                done(count - left)
                if time.monotonic() > ends:
                    raise TimeoutError(f"{left} of {count} are left")
                time.sleep(_LOOK_SECONDS)
        sent, last = db.execute(_SENT, (channel,)).fetchone() or (0, datetime.now(UTC))
    taken = sinks.taken()[channel == "webhook"] - before[channel == "webhook"]
    if sent != count or taken != count:
        raise RuntimeError(f"{sent} of {count} were sent at the first attempt, and the sink took {taken}")
    return float(count / (last - at).total_seconds())
