"""`notify keys` and `notify token`: credentials of applications and of recipients.

What is secret goes alone to stdout, so that `KEY=$(notify keys create)` works; the rest goes to stderr.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click
import msgspec
from psycopg import Connection

from notify.access import SCOPES, Scope, key_hash, new_key, new_token, shown_prefix
from notify.cli.common import as_json, database, prepared, say, say_json, table
from notify.cli.text import instant, printable, span
from notify.errors import InvalidValue, NotFound
from notify.postgres.queries import many_sync, maybe_sync, one_sync


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is listed; `key` only when it was made this moment."""

    id: int
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    key: str | msgspec.UnsetType = msgspec.UNSET


def create_first_api_key(connection: Connection[Any]) -> str | None:
    """An admin key if there was never any key, else None."""
    key = new_key()
    made = maybe_sync(
        connection,
        "create_first_api_key",
        int,
        label="first",
        prefix=shown_prefix(key),
        hash=key_hash(key),
        scopes=["admin"],
    )
    return key if made is not None else None


def create_api_key(connection: Connection[Any], name: str, scopes: list[Scope], lasts: timedelta | None) -> ApiKey:
    """Store a new key; the answer holds the key itself, which is stored nowhere."""
    key = new_key()
    row = one_sync(
        connection,
        "create_api_key",
        ApiKey,
        label=name,
        prefix=shown_prefix(key),
        hash=key_hash(key),
        scopes=scopes,
        lasts=lasts,
    )
    return msgspec.structs.replace(row, key=key)


@click.group()
def keys() -> None:
    """API keys of applications: create, list, revoke."""


@keys.command()
@click.option("--name", default="cli", show_default=True, help="Who uses it.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="Repeatable; admin if none.")
@click.option("--expires", help="How long it holds, as 90d; for ever if not given.")
@as_json
def create(name: str, scopes: tuple[Scope, ...], expires: str | None, json: bool) -> None:
    """Make a key and show it, this once."""
    settings = prepared()
    if not 1 <= len(name) <= 100:
        raise InvalidValue("name must have 1 to 100 characters", field="name")
    lasts = span(expires, field="expires") if expires else None
    with database(settings) as connection:
        made = create_api_key(connection, name, sorted(set(scopes)) or ["admin"], lasts)
    if json:
        say_json(made)
        return
    say(str(made.key))
    until = f", until {instant(made.expires_at)}" if made.expires_at else ""
    click.echo(f"key {made.id} ({', '.join(made.scopes)}{until}), shown once", err=True)


@keys.command("list")
@as_json
def list_keys(json: bool) -> None:
    """All keys, without the keys themselves."""
    settings = prepared()
    with database(settings) as connection:
        found = many_sync(connection, "list_api_keys", ApiKey)
        now = one_sync(connection, "get_now", datetime)
    if json:
        say_json(found)
        return
    rows: list[tuple[str, ...]] = [("ID", "KEY", "NAME", "SCOPES", "CREATED", "STATE")]
    rows += [
        (
            str(key.id),
            f"{key.prefix}…",
            printable(key.name),
            ",".join(key.scopes),
            instant(key.created_at),
            _state(key, now),
        )
        for key in found
    ]
    say(table(rows))


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {instant(key.revoked_at)}"
    if key.expires_at is None:
        return "valid"
    return f"{'valid until' if key.expires_at > now else 'expired'} {instant(key.expires_at)}"


@keys.command()
@click.argument("id", type=click.IntRange(1, 2**63 - 1))
@as_json
def revoke(id: int, json: bool) -> None:
    """Refuse key ID from now on; its open sockets are closed."""
    settings = prepared()
    with database(settings) as connection:
        revoked = maybe_sync(connection, "revoke_api_key", int, id=id)
    if revoked is None:
        raise NotFound(f"there is no key {id}")
    say_json({"id": id, "revoked": True}) if json else say(f"key {id} revoked")


@click.command()
@click.argument("recipient")
@click.option("--ttl", help="How long it holds, as 1h; NOTIFY_TOKEN_TTL if not given.")
@as_json
def token(recipient: str, ttl: str | None, json: bool) -> None:
    """A token with which RECIPIENT opens the own stream and inbox."""
    settings = prepared()
    seconds = span(ttl, field="ttl").total_seconds() if ttl else float(settings.token_ttl)
    if not 1 <= seconds <= 31_536_000:
        raise InvalidValue("ttl must be from 1s to 365d", field="ttl")
    with database(settings) as connection:
        if not one_sync(connection, "is_recipient", bool, id=recipient):
            raise NotFound(f"there is no recipient {printable(recipient)!r}: send or listen registers one")
        secret = settings.token_secret or one_sync(connection, "get_token_key", str)
    made, ends = new_token(secret, recipient, seconds)
    if json:
        say_json({"token": made, "recipient": recipient, "expires_at": ends})
        return
    say(made)
    click.echo(f"token of {printable(recipient)}, until {instant(ends)}", err=True)
