"""Tokens of links to unsubscribe: what they tell, and that nothing else is taken for one."""

from __future__ import annotations

import re

import jwt
import pytest

from notify import access
from notify.channels.unsubscribe import Unsubscribe, new_token, read_token, url_of
from notify.errors import NotFound, Unauthenticated

KEY = "a-key-of-thirty-two-characters-or-more"
OTHER_KEY = "another-key-of-thirty-two-characters"
TOKEN = new_token(KEY, "ada", "email", "newsletter")


def signed(**claims: object) -> str:
    return jwt.encode({"sub": "ada", "aud": "notify-unsubscribe", **claims}, KEY, algorithm="HS256")


def test_links_in_mails_of_earlier_days_hold() -> None:
    assert read_token(KEY, signed(channel="email", type="новости")) == Unsubscribe("ada", "email", "новости")


@pytest.mark.parametrize("letter", ["я", "🚀", "\x01", '"'])
def test_the_longest_of_them_fits_into_a_line(letter: str) -> None:
    recipient, type = letter * (128 // len(letter.encode())), letter * 100
    token = new_token(KEY, recipient, "email", type)
    assert len(token) <= 764
    assert read_token(KEY, token) == Unsubscribe(recipient, "email", type)


@pytest.mark.parametrize("recipient", ["ada", "42", "Zoë/ü 漢"])
def test_a_token_tells_what_it_was_made_of(recipient: str) -> None:
    token = new_token(KEY, recipient, "email", "newsletter")
    assert read_token(KEY, token) == Unsubscribe(recipient, "email", "newsletter")


def test_a_token_is_fit_for_a_url_and_the_same_each_time() -> None:
    assert re.fullmatch(r"[\w.-]+", TOKEN, re.ASCII)
    assert new_token(KEY, "ada", "email", "newsletter") == TOKEN


@pytest.mark.parametrize(
    "token",
    [
        "",
        "no token",
        "ä.ö.ü",
        "\ud800",
        TOKEN[:-2],
        TOKEN + "=",
        TOKEN[:-1] + "\n",
        TOKEN.partition(".")[0] + ".",
        "." + TOKEN.partition(".")[2],
        "A" + TOKEN,
        new_token(OTHER_KEY, "ada", "email", "newsletter"),
        jwt.encode({"sub": "ada", "aud": "notify-unsubscribe", "channel": "a", "type": "b"}, "", algorithm="none"),
        signed(channel="email"),
        signed(channel="email", type=None),
        signed(channel=["email"], type="newsletter"),
        signed(channel="email", type="newsletter", aud="notify"),
    ],
)
def test_what_does_not_hold_is_not_found(token: str) -> None:
    with pytest.raises(NotFound, match="does not hold"):
        read_token(KEY, token)


def test_a_token_of_a_recipient_unsubscribes_nobody() -> None:
    token, _ = access.new_token(KEY, "ada", 3600)
    with pytest.raises(NotFound):
        read_token(KEY, token)


def test_a_link_opens_nobody_s_inbox() -> None:
    with pytest.raises(Unauthenticated):
        access.read_token(KEY, TOKEN)


@pytest.mark.parametrize("public_url", ["https://example.org/notify", "https://example.org/notify/"])
def test_the_link_lies_below_the_public_url(public_url: str) -> None:
    assert url_of(public_url, "abc") == "https://example.org/notify/unsubscribe/abc"
