"""`notify channels`, `pause` and `resume`: outside channels and types, looked at and stopped for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import click
import msgspec

from notify import control
from notify.calls import perform_sync
from notify.cli.common import as_json, database, prepared, say, say_json, table
from notify.cli.text import instant, printable
from notify.model import ChannelState, TypeState

Kind = Literal["channel", "type"]


class _All(msgspec.Struct, frozen=True):
    """What `channels --json` prints."""

    channels: list[ChannelState]
    types: list[TypeState]


@click.command()
@as_json
def channels(json: bool) -> None:
    """The channels, the types that something is said about, and whether they are used."""
    settings = prepared()
    with database(settings) as connection:
        found = _All(perform_sync(connection, control.list_channels()), perform_sync(connection, control.list_types()))
    if json:
        say_json(found)
        return
    rows: list[tuple[str, ...]] = [("CHANNEL", "STATE", "RATE", "RETRY", "DESCRIPTION")]
    rows += [
        (one.name, _state(one), _number(one.rate), _policy(one.retry), printable(one.description))
        for one in found.channels
    ]
    say(table(rows))
    if found.types:
        rows = [("TYPE", "STATE", "REQUIRED", "RETRY")]
        rows += [
            (printable(one.name), _since(one.paused_at), "yes" if one.required else "no", _policy(one.retry))
            for one in found.types
        ]
        say("\n" + table(rows))


def _state(channel: ChannelState) -> str:
    if channel.state == "resting" and channel.rests_until is not None:
        return f"resting until {instant(channel.rests_until)}"
    return _since(channel.paused_at)


def _since(paused_at: datetime | None) -> str:
    return "open" if paused_at is None else f"paused {instant(paused_at)}"


def _number(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:g}/s"


def _policy(retry: dict[str, Any] | None) -> str:
    return "-" if retry is None else msgspec.json.encode(retry).decode()


_KIND = click.argument("kind", type=click.Choice(["channel", "type"]))
_NAME = click.argument("name")


@click.command()
@_KIND
@_NAME
@as_json
def pause(kind: Kind, name: str, json: bool) -> None:
    """Let wait what is due on channel NAME, or of type NAME, on outside channels."""
    _set_paused(kind, name, True, json)


@click.command()
@_KIND
@_NAME
@as_json
def resume(kind: Kind, name: str, json: bool) -> None:
    """Send again on channel NAME, or what is of type NAME, with all that waited."""
    _set_paused(kind, name, False, json)


def _set_paused(kind: Kind, name: str, paused: bool, json: bool) -> None:
    settings = prepared()
    state: ChannelState | TypeState | None
    with database(settings) as connection:
        if kind == "channel":
            perform_sync(connection, control.set_channel(name, {"paused": paused}))
            state = perform_sync(connection, control.get_channel(name))
            if state is None:
                raise control.no_channel(printable(name), perform_sync(connection, control.list_channels()))
        else:
            perform_sync(connection, control.set_type(name, {"paused": paused}))
            state = perform_sync(connection, control.get_type(name))
    say_json(state) if json else say(f"{kind} {printable(name)} {'paused' if paused else 'resumed'}")
