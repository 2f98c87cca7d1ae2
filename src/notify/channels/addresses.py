"""Addresses of the channels that come with notify, read from what was registered; what cannot be one is refused.

Pure, and without the libraries that send: the API looks at addresses too, before it stores them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from notify.channels.protocol import Address
from notify.errors import InvalidValue

_MOST_URL = 2_000
# An endpoint is called again and again, and looking at it takes as long as signing.
_REMEMBERED = 1_024
_SECRET_BYTES = range(24, 65)
_SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, no secret
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")
# RFC 5321: 64 bytes before the @, 255 after; a plain form that every mail server takes, and no quoted local part.
_EMAIL = re.compile(r"[^@\s\"(),:;<>\[\\\]]{1,64}@(?=.{1,255}\Z)[\w-]+(\.[\w-]+)*")


class Endpoint(msgspec.Struct, frozen=True):
    """Where a webhook goes, and the secrets that sign it: while one is being replaced there are two."""

    url: str
    secrets: tuple[str, ...]
    """Empty: those of the service."""


def email_of(address: Address) -> str:
    """An email address: a text, or an object with `address`. Raises InvalidValue."""
    text = _field(address, "email", "address", {"address"})
    if _CONTROL.search(text) or not _EMAIL.fullmatch(text) or ".." in text.partition("@")[0]:
        raise InvalidValue("an email address must read like ada@example.org", field="addresses")
    return text


def endpoint_of(address: Address) -> Endpoint:
    """A webhook endpoint: its URL, or an object with `url` and `secret`, or `secrets` with two. Raises InvalidValue."""
    url = _field(address, "webhook", "url", {"url", "secret", "secrets"})
    _check_url(url)
    given: Any = ()
    if not isinstance(address, str):
        given = address.get("secrets", [address["secret"]] if "secret" in address else [])
    if not isinstance(given, list | tuple) or len(given) > 2 or not all(isinstance(one, str) for one in given):
        raise InvalidValue("a webhook address may have one secret, or two in `secrets`", field="addresses")
    for secret in given:
        check_secret(secret)
    return Endpoint(url, tuple(given))


@lru_cache(_REMEMBERED)
def _check_url(url: str) -> None:
    parts = _split(url, "webhook")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValue("a webhook address must be an http or https URL", field="addresses")
    if parts.username is not None or parts.fragment:
        raise InvalidValue("a webhook URL must have neither user information nor a fragment", field="addresses")


@lru_cache(_REMEMBERED)
def check_secret(secret: str) -> None:
    """Raise InvalidValue unless it is a secret as Standard Webhooks has them: whsec_, then base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
        raise InvalidValue("a webhook secret must be whsec_ and the base64 of 24 to 64 bytes", field="addresses")


def apprise_url_of(address: Address) -> str:
    """An Apprise URL: a text, or an object with `url`. Raises InvalidValue."""
    url = _field(address, "apprise", "url", {"url"})
    if not re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE):
        raise InvalidValue("an Apprise address must be a URL such as ntfys://topic", field="addresses")
    return url


def check_address(channel: str, address: Address) -> None:
    """Raise InvalidValue for what cannot be an address of this channel; those of others are not known here."""
    if channel == "email":
        email_of(address)
    elif channel == "webhook":
        endpoint_of(address)
    elif channel == "apprise":
        apprise_url_of(address)


def check_addresses(prefix: str, addresses: Mapping[str, Any]) -> None:
    """As `check_address` for each, whatever it is. The field that InvalidValue names is `prefix` and the channel."""
    for channel, address in addresses.items():
        try:
            if not isinstance(address, str | Mapping):
                raise InvalidValue("an address must be a text or an object")
            check_address(channel, address)
        except InvalidValue as error:
            raise InvalidValue(str(error), field=prefix + channel) from error


def _field(address: Address, channel: str, name: str, known: set[str]) -> str:
    if isinstance(address, str):
        text: Any = address
    elif address.keys() <= known:
        text = address.get(name)
    else:
        raise InvalidValue(
            f"an address of {channel} must be a text, or an object of {', '.join(sorted(known))}", field="addresses"
        )
    if not isinstance(text, str) or not text or len(text) > _MOST_URL or not _is_plain(text):
        raise InvalidValue(
            f"an address of {channel} must be a text of 1 to {_MOST_URL} characters without spaces", field="addresses"
        )
    return text


def _is_plain(text: str) -> bool:
    # Most are ASCII, and need no search.
    return " " not in text if text.isascii() and text.isprintable() else not _CONTROL.search(text)


def _split(url: str, channel: str) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is none
    except ValueError as error:
        raise InvalidValue(f"an address of {channel} must be a URL", field="addresses") from error
    return parts
