"""Which channels there are besides the inbox: those that come with notify, and those that entry points add.

A worker builds them once, when it starts. What is wrong with one keeps the worker from starting, rather than each of
its messages from being sent.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from notify.channels import services
from notify.channels.email import EmailChannel
from notify.channels.protocol import NAME, Channel, Message
from notify.channels.services import AppriseChannel
from notify.channels.webhook import WebhookChannel
from notify.config import Settings
from notify.errors import ConfigError
from notify.supervise import describe

GROUP = "notify.channels"
"""Of entry points: each is called with the settings, and gives a channel."""


def build(settings: Settings, unsubscribe_url: Callable[[Message], str | None]) -> list[Channel]:
    """The channels that these settings ask for, not entered yet; `email` only with a mail server.

    ConfigError names the variable or the entry point that is wrong.
    """
    channels: list[Channel] = [WebhookChannel(settings)]
    if settings.smtp_url is not None:
        channels.insert(0, EmailChannel(settings, unsubscribe_url))
    services.check_settings(settings)
    channels += [AppriseChannel(settings, name) for name in services.names(settings)]
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        own = _own(entry, settings)
        if own.name in {channel.name for channel in channels}:
            raise ConfigError(f"{_shown(entry)} gives a second channel named {own.name}")
        channels.append(own)
    return channels


def _own(entry: EntryPoint, settings: Settings) -> Channel:
    try:
        channel: Channel = entry.load()(settings)
    except Exception as error:
        raise ConfigError(f"{_shown(entry)} fails: {describe(error)}") from error
    if problem := _problem(channel):
        raise ConfigError(f"{_shown(entry)} gives no channel: {problem}")
    return channel


def _problem(channel: object) -> str | None:
    """What keeps it from being a channel, as protocol.Channel describes one."""
    if isinstance(channel, type):
        return "it is a class, and no object of one"
    name = getattr(channel, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == "inbox":
        return (
            f"its name is {name!r}, and should be a letter, then letters, digits and underscores, 32 at most, "
            "lower case, and not inbox"
        )
    if not isinstance(getattr(channel, "description", None), str):
        return "its description should be a text"
    if not _number(getattr(channel, "concurrency", None), least=1, kinds=(int,)):
        return "its concurrency should be a whole number from 1"
    days = getattr(channel, "disable_after_days", False)
    if days is not None and not _number(days, least=0, kinds=(int, float)):
        return "its disable_after_days should be a number or None"
    for method in ("send", "__aenter__", "__aexit__"):
        if not inspect.iscoroutinefunction(getattr(channel, method, None)):
            return f"its {method} should be an async method"
    return None


def _number(value: object, *, least: int, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool) and value >= least  # type: ignore[operator]


def _shown(entry: EntryPoint) -> str:
    return f"entry point {entry.name} = {entry.value} of group {GROUP}"
