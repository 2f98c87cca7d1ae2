"""The oldest server that is supported, Postgres 15, where it is installed: part of the suite runs over it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = Path("/usr/lib/postgresql/15/bin")  # where Debian and Ubuntu put it
TESTS = Path(__file__).parents[1]
PARTS = ["sql/test_schedule.py", "sql/test_drain.py", "sql/test_stream.py", "sql/test_races.py", "gateway/test_acks.py"]
PARTS += ["sql/test_roles.py", "sql/test_roles_app.py", "sql/test_roles_migrate.py"]


@pytest.mark.skipif(not (OLDEST / "postgres").exists(), reason="Postgres 15 is not installed (postgresql-15)")
def test_postgres_15() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", *(str(TESTS / part) for part in PARTS)],
        cwd=TESTS.parent,
        env=env | {"TEST_SERVER_BIN": str(OLDEST)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
