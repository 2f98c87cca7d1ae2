"""Links to unsubscribe: a token tells who no longer wants what by which channel, and only this service makes one.

It never ends, as a mail may be read years later, and all that it opens is the stopping of mail. It is signed with a key
that the database has made for it, so that links outlive a change of the key of recipients' tokens.

A link stands in a header, of which a line may have 998 characters. So a token is no JWT, in which each letter of a type
beyond ASCII takes 8 and more, and has 764 at most by mail. The links in earlier mails are JWTs, and hold.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import jwt
import msgspec

from notify.errors import NotFound

_ALGORITHM = "HS256"
_AUDIENCE = "notify-unsubscribe"


# What is signed before the rest; no JWT has a colon, so that none is taken for the other.
_PURPOSE = b"notify-unsubscribe:"


class Unsubscribe(msgspec.Struct, frozen=True):
    """What a link asks for: no more of this type to this recipient by this channel."""

    recipient: str = msgspec.field(name="sub")
    channel: str
    type: str


def new_token(key: str, recipient: str, channel: str, type: str) -> str:
    """The token for a link, in letters, digits, dots, hyphens and underscores; the same for the same values."""
    content = msgspec.msgpack.encode((recipient, channel, type))
    return f"{_text(content)}.{_signature(key, content)}"


def read_token(key: str, token: str) -> Unsubscribe:
    """What the link of a token asks for. Raises NotFound if the token does not hold here."""
    try:
        if token.count(".") == 1:
            return _read(key, *token.encode().split(b"."))
        claims = jwt.decode(token, key, algorithms=[_ALGORITHM], audience=_AUDIENCE)
        return msgspec.convert(claims, Unsubscribe)
    except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError) as error:
        raise NotFound("this link to unsubscribe does not hold") from error


def _read(key: str, content: bytes, signature: bytes) -> Unsubscribe:
    plain = urlsafe_b64decode(content + b"=" * (-len(content) % 4))
    # In one way of writing it only, as base64 has several.
    if _text(plain).encode() != content or not hmac.compare_digest(_signature(key, plain).encode(), signature):
        raise ValueError("it was not signed here")
    return Unsubscribe(*msgspec.msgpack.decode(plain, type=tuple[str, str, str]))


def _signature(key: str, content: bytes) -> str:
    return _text(hmac.digest(key.encode(), _PURPOSE + content, "sha256"))


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def url_of(public_url: str, token: str) -> str:
    """The link, below the address that recipients reach this service by."""
    return f"{public_url.rstrip('/')}/unsubscribe/{token}"
