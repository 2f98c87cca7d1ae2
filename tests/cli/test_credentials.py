"""keys and token: secrets go alone to stdout and are stored nowhere."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from cli.conftest import Notify
from helpers.rows import Db, one, value
from helpers.wait import until
from notify.access import is_well_formed, key_hash, read_token
from notify.cli.keys import create_first_api_key


def test_a_key_is_shown_once(notify: Notify, db: Db) -> None:
    made = notify("keys", "create", "--name", "shop", "--scope", "read", "--scope", "schedule", "--expires", "90d")
    key = made.out.strip()
    assert is_well_formed(key)
    assert made.err.startswith("key 1 (read, schedule, until ")
    assert key not in made.err
    stored = one(db, "select name, hash, scopes, expires_at - created_at as lasts from notify.api_key")
    assert (stored["name"], stored["hash"], stored["scopes"]) == ("shop", key_hash(key), ["read", "schedule"])
    assert abs(stored["lasts"] - timedelta(days=90)) < timedelta(seconds=1)


def test_listing_and_revoking(notify: Notify, db: Db) -> None:
    key = json.loads(notify("keys", "create", "--json").out)
    assert key["scopes"] == ["admin"]
    listed = notify("keys", "list").out
    assert f"{key['key'][:12]}…" in listed
    assert "valid" in listed
    assert key["key"] not in listed + notify("keys", "list", "--json").out
    assert notify("keys", "revoke", "1").out == "key 1 revoked\n"
    assert "revoked" in notify("keys", "list").out
    first = value(db, "select revoked_at from notify.api_key")
    assert notify("keys", "revoke", "1").status == 0
    assert value(db, "select revoked_at from notify.api_key") == first
    assert notify("keys", "revoke", "2") == (1, "", "notify: there is no key 2\n")


def test_listing_tells_until_when(notify: Notify, db: Db) -> None:
    made = json.loads(notify("keys", "create", "--expires", "1s", "--json").out)
    until(lambda: value(db, "select notify.now() > expires_at from notify.api_key"))
    ends = f"{made['expires_at'][:19]}Z"
    assert notify("keys", "list").out.rstrip().endswith(f"  {made['created_at'][:19]}Z  expired {ends}")
    notify("keys", "create", "--expires", "1h")
    assert re.search(r"valid until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", notify("keys", "list").out.rstrip(), re.MULTILINE)


def test_what_cannot_be_a_key_is_refused(notify: Notify) -> None:
    assert notify("keys", "create", "--scope", "all").status == 2
    assert notify("keys", "create", "--expires", "never").status == 1
    assert notify("keys", "create", "--name", "").status == 1


def test_the_first_key_is_made_once(db: Db) -> None:
    assert is_well_formed(str(create_first_api_key(db)))
    assert create_first_api_key(db) is None


def test_a_token_is_for_a_recipient_that_there_is(notify: Notify, db: Db) -> None:
    assert notify("token", "ada").err == "notify: there is no recipient 'ada': send or listen registers one\n"
    notify("send", "ada", "x", "y")
    made = notify("token", "ada", "--ttl", "2h")
    secret = value(db, "select value from notify.secret where name = 'token_key'")
    assert read_token(secret, made.out.strip()).recipient == "ada"
    assert made.err.startswith("token of ada, until ")
    assert notify("token", "ada", "--ttl", "400d").status == 1
