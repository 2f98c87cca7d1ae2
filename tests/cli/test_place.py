"""The data directory of `notify up`, and where commands find its server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.conftest import Notify
from notify import environment
from notify.cli import place
from notify.cli.place import announced, server_url

FOUND, LAST = "http://127.0.0.1:9000", "http://[::1]:9001"


@pytest.mark.parametrize(
    ("told", "up_serves", "last", "url"),
    [
        ({}, False, None, "http://127.0.0.1:8000"),
        ({}, True, None, FOUND),
        ({}, True, LAST, FOUND),
        ({}, False, LAST, LAST),  # a stranger may have the default port while `notify up` is away
        ({"PORT": "7000"}, False, None, "http://127.0.0.1:7000"),
        ({"PORT": "7000"}, True, LAST, "http://127.0.0.1:7000"),
        ({"PORT": "0"}, True, None, FOUND),
        ({"HOST": "0.0.0.0"}, True, None, FOUND),
        ({"HOST": "::"}, True, None, "http://[::1]:9000"),
        ({"HOST": "db.example.org", "PORT": "7000"}, True, None, "http://db.example.org:7000"),
        ({"PORT": "7000"}, False, LAST, "http://[::1]:7000"),
        ({"URL": "https://notify.example/", "PORT": "7000"}, True, LAST, "https://notify.example"),
    ],
)
def test_what_is_set_outranks_what_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: Mapping[str, str],
    up_serves: bool,
    last: str | None,
    url: str,
) -> None:
    environ = {"NOTIFY_DATA_DIR": str(tmp_path)} | {f"NOTIFY_{name}": value for name, value in told.items()}
    monkeypatch.setattr(place, "environment", lambda: environ)
    settings = environment.load(environ)
    if up_serves:
        with announced(tmp_path, FOUND):
            assert server_url(settings, last) == url
    else:
        assert server_url(settings, last) == url


def test_a_data_directory_that_cannot_be_is_a_line(notify: Notify, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (
        ("/proc/x", "no such file or directory"),
        ("file", "not a directory"),
        ("file/below", "not a directory"),
        ("x" * 300, "file name too long"),
    ):
        refused = notify("up", "--port", "0", "--data-dir", folder)
        assert refused == (1, "", f"notify: cannot use the data directory {folder}: {reason}\n")


def test_where_there_is_no_data_directory_there_is_no_database(
    notify: Notify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("NOTIFY_DATABASE_URL")
    monkeypatch.setenv("NOTIFY_DATA_DIR", "file")
    refused = "notify: no database: start notify up or set NOTIFY_DATABASE_URL\n"
    assert notify("send", "ada", "x", "y") == (2, "", refused)


def test_another_fault_of_the_system_is_a_line_too(notify: Notify, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28), "notify.json")

    monkeypatch.setattr("notify.cli.schema.located", full)
    assert notify("psql") == (1, "", "notify: OSError: [Errno 28] No space left on device: 'notify.json'\n")
