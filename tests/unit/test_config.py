"""Settings: defaults, the environment, secrets in files, what is refused and how, and what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from notify.config import Settings
from notify.environment import describe, load, unknown
from notify.errors import ConfigError, NotifyError


def test_without_environment_all_is_default() -> None:
    assert load({}) == Settings()
    assert load({"NOTIFY_PORT": "", "PATH": "/bin"}) == Settings()


def test_values_become_their_types() -> None:
    environ = {
        "NOTIFY_PORT": "9000",
        "NOTIFY_TICK_SECONDS": "1",
        "NOTIFY_TICKER_ENABLED": "Off",
        "NOTIFY_UNKNOWN_RECIPIENTS": "create",
        "NOTIFY_URL": "https://notify.example",
        "NOTIFY_API_KEY": "k" * 16,
    }
    settings = load(environ)
    assert (settings.port, settings.tick_seconds, settings.ticker_enabled) == (9000, 1.0, False)
    assert (settings.unknown_recipients, settings.url) == ("create", "https://notify.example")
    assert settings.api_key == "k" * 16


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("NOTIFY_PORT", "70000", "a whole number from 0 to 65535"),
        ("NOTIFY_PORT", "8k", "a whole number"),
        ("NOTIFY_TICK_SECONDS", "0", "a number above 0 to 60"),
        ("NOTIFY_TICK_SECONDS", "nan", "a number"),
        ("NOTIFY_STATEMENT_TIMEOUT", "inf", "a number"),
        ("NOTIFY_LOG_LEVEL", "loud", "one of debug, info, warning, error, critical"),
        ("NOTIFY_JOBS_ENABLED", "maybe", "true or false"),
        ("NOTIFY_URL", "notify.example", "matching ^https?://"),
    ],
)
def test_wrong_value_is_refused_with_name_value_and_remedy(variable: str, value: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load({variable: value})
    assert f"{variable}={value!r} should be" in str(refused.value)
    assert wanted in str(refused.value)
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, NotifyError)


def test_wrong_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError) as refused:
        load({"NOTIFY_TOKEN_SECRET": "too-short"})
    assert "NOTIFY_TOKEN_SECRET=***" in str(refused.value)
    assert "too-short" not in str(refused.value)


def test_pool_bounds_must_fit_together() -> None:
    with pytest.raises(ConfigError, match="NOTIFY_POOL_MIN=20 should be at most NOTIFY_POOL_MAX=10"):
        load({"NOTIFY_POOL_MIN": "20"})


def test_secret_from_file_loses_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s" * 32 + "\n")
    environ = {"NOTIFY_TOKEN_SECRET_FILE": str(path)}
    assert load(environ).token_secret == "s" * 32
    assert unknown(environ) == []


def test_secret_file_that_cannot_serve_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name in ("missing", "empty"):
        with pytest.raises(ConfigError, match="NOTIFY_API_KEY_FILE="):
            load({"NOTIFY_API_KEY_FILE": str(tmp_path / name)})


def test_secret_and_its_file_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="are both set"):
        load({"NOTIFY_API_KEY": "k" * 16, "NOTIFY_API_KEY_FILE": str(tmp_path)})


def test_unknown_variables_are_named() -> None:
    environ = {"NOTIFY_PROT": "1", "NOTIFY_PORT": "1", "NOTIFY_PORT_FILE": "x", "HOME": "/"}
    assert unknown(environ) == ["NOTIFY_PORT_FILE", "NOTIFY_PROT"]


def test_describe_tells_value_source_and_meaning_of_every_setting(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 16)
    environ = {"NOTIFY_PORT": "9000", "NOTIFY_API_KEY_FILE": str(tmp_path / "key")}
    environ["NOTIFY_REDIRECT_WEBHOOK"] = "https://hooks.example.org/services/s3cret"
    described = {item.name: item for item in describe(load(environ), environ)}
    assert set(described) == set(Settings.__struct_fields__)
    assert all(item.description for item in described.values())
    assert (described["port"].value, described["port"].source) == (9000, "environment")
    assert (described["api_key"].value, described["api_key"].source) == ("***", "file")
    assert described["redirect_webhook"].value == "***"
    assert (described["host"].variable, described["host"].source) == ("NOTIFY_HOST", "default")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db/notify", "postgresql://ada:***@db/notify"),
        ("postgresql://ada:s3%40cret@db/notify", "postgresql://ada:***@db/notify"),
        ("postgresql://db/notify?user=ada&password=s3cret", "postgresql://db/notify?user=ada&password=***"),
        ("host=db user=ada password='s3 cr\\'et' port=1", "host=db user=ada password=*** port=1"),
        ("postgresql://ada@db/notify", "postgresql://ada@db/notify"),
    ],
)
def test_passwords_in_urls_are_never_shown(url: str, shown: str) -> None:
    environ = {"NOTIFY_DATABASE_URL": url}
    assert describe(load(environ), environ)[0].value == shown
