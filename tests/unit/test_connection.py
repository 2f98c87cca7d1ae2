"""The connection string: protection against dead peers, what a URL keeps, no password in an error."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from notify.config import Settings
from notify.errors import ConfigError
from notify.postgres.connection import conninfo


def test_dead_peers_are_noticed() -> None:
    params = conninfo_to_dict(conninfo("postgresql://ada@db/notify", name="worker"))
    assert params["keepalives_idle"] == "5"
    assert params["tcp_user_timeout"] == "10000"
    assert params["connect_timeout"] == "5"
    assert params["application_name"] == "notify-worker"


def test_settings_of_the_url_win() -> None:
    url = "postgresql://db/notify?connect_timeout=60&sslmode=verify-full"
    params = conninfo_to_dict(conninfo(Settings(database_url=url, connect_timeout=7), name="api"))
    assert (params["connect_timeout"], params["sslmode"]) == ("60", "verify-full")


def test_malformed_url_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError) as refused:
        conninfo("postgresql://ada:s3cret@db:port:port/x?y", name="api")
    assert "s3cret" not in str(refused.value)
    assert "NOTIFY_DATABASE_URL" in str(refused.value)


def test_missing_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="NOTIFY_DATABASE_URL is not set"):
        conninfo(Settings(), name="api")
