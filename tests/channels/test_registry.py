"""Which channels there are: by the settings, and by entry points, of which a wrong one is named and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.extensions import install
from helpers.mail import no_link
from notify.channels.email import EmailChannel
from notify.channels.protocol import Channel
from notify.channels.registry import build
from notify.channels.services import AppriseChannel
from notify.channels.webhook import WebhookChannel
from notify.config import Settings
from notify.errors import ConfigError

MAIL: dict[str, Any] = {"smtp_url": "smtp://127.0.0.1:2525", "smtp_from": "lessons@example.org"}
GOOD = """
    from notify.channels.protocol import Plain, sent

    class Own(Plain):
        name = "pager"

        def __init__(self, settings):
            self.concurrency = settings.smtp_connections

        async def send(self, message):
            return sent()
"""


def built(settings: Settings) -> dict[str, Channel]:
    return {channel.name: channel for channel in build(settings, no_link)}


def test_there_is_mail_only_with_a_server_for_it() -> None:
    assert {name: type(channel) for name, channel in built(Settings()).items()} == {
        "webhook": WebhookChannel,
        "apprise": AppriseChannel,
    }
    assert isinstance(built(Settings(**MAIL))["email"], EmailChannel)


def test_apprise_serves_each_name_that_it_is_given() -> None:
    channels = built(Settings(apprise_channels=" sms, chat"))
    assert list(channels) == ["webhook", "sms", "chat"]
    assert isinstance(channels["sms"], AppriseChannel)
    assert list(built(Settings(apprise_channels=""))) == ["webhook"]


def test_an_entry_point_adds_a_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "good_channel", GOOD, "Own")
    own = built(Settings(smtp_connections=3))["pager"]
    assert (own.concurrency, own.description, own.disable_after_days) == (3, "", None)


@pytest.mark.parametrize(
    ("module", "was", "becomes", "reason"),
    [
        ("no_name", 'name = "pager"', "", "its name is None"),
        ("bad_name", '"pager"', '"Pager"', "its name is 'Pager'"),
        ("long_name", '"pager"', '"' + "p" * 33 + '"', "its name is 'ppp"),
        ("inbox_name", '"pager"', '"inbox"', "not inbox"),
        ("doubled_name", '"pager"', '"webhook"', "a second channel named webhook"),
        ("no_concurrency", "settings.smtp_connections", "0", "concurrency"),
        ("true_concurrency", "settings.smtp_connections", "True", "concurrency"),
        ("bad_days", 'name = "pager"', 'name = "pager"; disable_after_days = "5"', "disable_after_days"),
        ("bad_words", 'name = "pager"', 'name = "pager"; description = None', "description"),
        ("plain_send", "async def send", "def send", "its send should be an async method"),
        ("no_context", "(Plain)", "", "its description"),
        ("not_ready", "settings.smtp_connections", "settings.nothing", "AttributeError"),
        ("not_there", "import Plain, sent", "import Nothing", "ImportError"),
        ("not_importable", "from notify", "import no_such_module; from notify", "ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_one_is_said(
    module: str, was: str, becomes: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert was in GOOD
    install(tmp_path, monkeypatch, module, GOOD.replace(was, becomes), "Own")
    with pytest.raises(ConfigError) as refused:
        build(Settings(), no_link)
    assert f"entry point {module} = {module}:Own of group notify.channels" in str(refused.value)
    assert reason in str(refused.value)


def test_a_class_is_no_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "gives_class", GOOD + "\n    def make(settings): return Own\n", "make")
    with pytest.raises(ConfigError, match="it is a class"):
        build(Settings(), no_link)


def test_an_entry_point_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "names_nothing", GOOD, "Nothing")
    with pytest.raises(ConfigError, match="names_nothing:Nothing"):
        build(Settings(), no_link)


@pytest.mark.parametrize(
    "settings",
    [Settings(apprise_channels="email"), Settings(smtp_url="smtp://127.0.0.1"), Settings(outside_allow="10.0.0.0/33")],
)
def test_settings_that_cannot_be_meant(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_"):
        build(settings, no_link)
