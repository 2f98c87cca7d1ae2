"""One line an event, whoever logs it, and no secret in it."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Iterator

import psycopg
import pytest
import structlog
from procrastinate.exceptions import AppNotOpen

from notify import log
from notify.access import new_key, new_token
from notify.config import Settings

SETTINGS = Settings(
    api_key="a-fixed-key-of-mine",
    token_secret="s" * 32,
    database_url="postgresql://me:hunter2@db/app",
    log_format="json",
)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """Logging as a process has it, and afterwards as pytest had it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in log._LIBRARIES}
    log.configure(SETTINGS)
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_ours_and_the_libraries_events_look_alike(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(SETTINGS)  # onto the stream that is captured now
    structlog.stdlib.get_logger("notify.test").info("sent", count=3)
    logging.getLogger("uvicorn.error").error("no %s", "luck", extra={"color_message": "no"})
    logging.getLogger("uvicorn.error").info("chatter")
    ours, theirs = _lines(capsys)
    assert list(ours)[:3] == list(theirs)[:3] == ["timestamp", "level", "event"]
    assert (ours["event"], ours["count"], ours["level"], ours["logger"]) == ("sent", 3, "info", "notify.test")
    assert (theirs["event"], theirs["level"], "color_message" in theirs) == ("no luck", "error", False)


def test_an_exception_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(SETTINGS)
    try:
        raise RuntimeError("password=hunter2 was wrong")
    except RuntimeError:
        structlog.stdlib.get_logger("notify.test").exception("failed")
    (line,) = _lines(capsys)
    assert "RuntimeError: password=*** was wrong" in str(line["exception"])


def test_a_database_that_is_away_is_told_without_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(SETTINGS)
    try:
        try:
            raise psycopg.OperationalError("server closed the connection\nhint")
        except psycopg.OperationalError as error:
            raise LookupError("wrapped") from error
    except LookupError:
        logging.getLogger("procrastinate").exception("heartbeat failed")
    (line,) = _lines(capsys)
    assert (line["event"], line["error"]) == ("heartbeat failed", "OperationalError: server closed the connection")
    assert "exception" not in line


def test_a_job_that_outlives_its_app_is_told_without_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(SETTINGS)
    try:
        raise AppNotOpen
    except AppNotOpen:
        logging.getLogger("procrastinate").exception("job not finished")
    (line,) = _lines(capsys)
    assert (line["event"], line["error"]) == (
        "job not finished",
        "AppNotOpen: App was not open. Procrastinate App needs to be opened using:",
    )
    assert "exception" not in line


async def _cut_short(why: str | None) -> None:
    """What uvicorn logs where the end of the process cancels a request, and the application while it stops."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel(why)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=error)
        logging.getLogger("uvicorn.error").error(traceback.format_exc())
        task.uncancel()


@pytest.mark.parametrize("why", [None, "Cancelled via cancel scope 7f4453e963e0"])
def test_what_the_end_of_the_process_cuts_short_is_a_line(capsys: pytest.CaptureFixture[str], why: str | None) -> None:
    log.configure(SETTINGS)
    asyncio.run(_cut_short(why))
    cut = _lines(capsys)
    assert [(line["level"], line["event"]) for line in cut] == [
        ("warning", "a request was cut short by the end of the process"),
        ("warning", "stopping was cut short by the end of the process"),
    ]
    assert not [line for line in cut if "exception" in line]


def test_why_an_application_did_not_start_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(SETTINGS)
    told = "Traceback (most recent call last):\n  …\nValueError: no"
    logging.getLogger("uvicorn.error").error(told)
    (line,) = _lines(capsys)
    assert (line["level"], line["event"]) == ("error", told)


def test_no_secret_gets_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(SETTINGS)
    secrets = [
        new_key(),
        new_token("k" * 32, "ada", 60)[0],
        "a-fixed-key-of-mine",
        "s" * 32,
        "postgresql://me:hunter2@db/app",
    ]
    logger = structlog.stdlib.get_logger("notify.test")
    for secret in secrets:
        logger.info(f"in the event: {secret}", url=f"in a field: {secret}", nested={"deep": [secret]}, other=[secret])
    printed = capsys.readouterr().err
    assert printed.count("\n") == len(secrets)
    assert not [secret for secret in secrets if secret in printed]
    assert "hunter2" not in printed
