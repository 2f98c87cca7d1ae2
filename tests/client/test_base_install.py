"""The base install is psycopg and msgspec alone: `notify` imports and both clients work without anything else."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Whatever else is installed here cannot be imported, as if it were not.
ALONE = """
import sys

class Absent:
    allowed = {"notify", "psycopg", "psycopg_binary", "psycopg_c", "msgspec", "typing_extensions"}

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names or top.startswith("_sysconfigdata")
        if top not in self.allowed and not standard:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
BLOCKED = """
for name in ("litestar", "procrastinate", "click", "structlog", "psycopg_pool", "uvicorn", "jwt", "prometheus_client"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(name)
"""
USE = """
import asyncio
from datetime import datetime, timedelta, timezone
import notify

later = datetime.now(timezone.utc) + timedelta(hours=1)
with notify.NotificationScheduler(sys.argv[1]) as client:
    (id,) = client.schedule_notification(["ada"], "T", "M", later)
    assert client.get_schedule_status(id).scheduled_status == "pending"
    try:
        client.schedule_notification(["ada"], "", "M", later)
    except notify.InvalidValue as error:
        assert error.field == "title"

async def main():
    async with notify.AsyncNotificationScheduler(sys.argv[1]) as client:
        assert await client.cancel_scheduled(id)
        assert not await client.get_pending_notifications()

asyncio.run(main())
"""


@pytest.mark.usefixtures("shared")
def test_both_clients_work_without_the_extras(shared_dsn: str) -> None:
    command = [sys.executable, "-c", ALONE + BLOCKED + USE, shared_dsn]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
