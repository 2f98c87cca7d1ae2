"""A notification as a mail, in bytes: its headers, and the message as text and as HTML.

Put together here and not by the standard library's EmailMessage, which takes 30 times as long for what always has the
same form. Every line ends in CRLF, and every byte is ASCII, but for an address that is not. The tests read it back with
the standard library's parser.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr, getaddresses
from functools import lru_cache
from html import escape

import msgspec

from notify.channels.addresses import email_of
from notify.channels.protocol import Message
from notify.errors import InvalidValue

# A line break would begin a header of its own; the others are nothing that a reader could show.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OUTSIDE_OF_AN_ID = re.compile(r"[^\x21-\x7e]|[<>@]")
_OUTSIDE_OF_A_URL = re.compile(r"[^\x21-\x7e]|[<>]")
# What may go as it is: ASCII in lines of at most 998 characters (RFC 5322).
_SEVEN_BIT = re.compile(r"(?:[\t\x20-\x7e]{0,998}+\n)*+[\t\x20-\x7e]{0,998}+")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_UNFOLDED = 60
_MOST_LINE = 998
# Quoted-printable stays readable, and for what is mostly beyond ASCII takes more than base64 does.
_MOST_GROWTH = 4 / 3


class BadHeader(Exception):
    """A value holds what must not stand in a header; the text says which."""


class Sender(msgspec.Struct, frozen=True):
    """Whom mail is from."""

    address: str
    """ASCII: where a server sends what it cannot deliver."""
    header: str
    """As it stands after `From:`."""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class Letter(msgspec.Struct, frozen=True):
    """One mail for one address, as it is handed to a server."""

    sender: str
    recipient: str
    content: bytes
    """Headers and body, in lines that end in CRLF."""

    @property
    def beyond_ascii(self) -> bool:
        """Whether its address needs a server with SMTPUTF8."""
        return not self.recipient.isascii()


def sender_of(text: str) -> Sender:
    """A sender, from `name <address>` or the address alone. Raises InvalidValue."""
    pairs = getaddresses([text])
    if len(pairs) != 1 or _CONTROL.search(text):
        raise InvalidValue("there must be one sender")
    name, address = pairs[0][0], mailbox_of(email_of(pairs[0][1]))
    if not address.isascii():
        raise InvalidValue("the sender's address must be ASCII before its @")
    if name.isascii():
        return Sender(address, formataddr((name, address)))
    return Sender(address, f"{_header('From', name)} <{address}>")


def mailbox_of(address: str) -> str:
    """The address with its domain in ASCII where that says the same, as every server knows such a one."""
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        encoded = domain.encode("idna").decode("ascii")
        # It follows a standard of 2003, by which another domain may come out than by that of today.
        same = encoded.encode("ascii").decode("idna") == domain.lower()
    except UnicodeError:
        return address
    return f"{local}@{encoded}" if same else address


def compose(message: Message, sender: Sender, to: str, *, redirect: str | None, unsubscribe: str | None) -> Letter:
    """The mail of a message to an address, or in its place to `redirect`. Raises BadHeader.

    Its Message-ID is the same in every attempt. `unsubscribe` is a URL that takes a POST (RFC 8058); one that is longer
    than a line is left out.
    """
    _check("title", message.title, _CONTROL)
    _check("id", message.stable_id, _OUTSIDE_OF_AN_ID)
    boundary, body = _body(message.message, message.html)
    recipient = redirect or to
    lines = [
        f"From: {sender.header}",
        f"To: {recipient}",
        f"Subject: {_header('Subject', message.title)}",
        f"Date: {format_datetime(datetime.now(UTC))}",
        f"Message-ID: <{message.stable_id}@{sender.domain}>",
        "Auto-Submitted: auto-generated",
    ]
    if redirect:
        lines.append(f"X-Notify-To: {_header('X-Notify-To', to)}")
    if unsubscribe:
        _check("unsubscribe URL", unsubscribe, _OUTSIDE_OF_A_URL)
        header = f"List-Unsubscribe: <{unsubscribe}>"
        # A URL cannot be folded. Better without one, as below a very long address, than refused by every server.
        if len(header) <= _MOST_LINE:
            lines += [header, "List-Unsubscribe-Post: List-Unsubscribe=One-Click"]
    lines += ["MIME-Version: 1.0", f'Content-Type: multipart/alternative; boundary="{boundary}"', "", ""]
    return Letter(sender.address, recipient, "\r\n".join(lines).encode() + body)


def html_of(text: str) -> str:
    """A text as a page: paragraphs and line breaks are kept, and nothing in it is markup."""
    paragraphs = _BLANK_LINES.split(escape(text, quote=False).strip("\n"))
    body = "\n".join("<p>" + paragraph.replace("\n", "<br>\n") + "</p>" for paragraph in paragraphs)
    return f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{body}\n</body></html>\n'


def _check(name: str, value: str, forbidden: re.Pattern[str]) -> None:
    if forbidden.search(value):
        raise BadHeader(f"the {name} holds characters that a mail's header must not have")


@lru_cache(maxsize=256)
def _header(name: str, value: str) -> str:
    """A header's value, folded and encoded where it has to be. A batch has one title, so it is remembered."""
    # What looks encoded would be decoded.
    plain = value.isascii() and "=?" not in value
    if plain and len(value) <= _UNFOLDED:
        return value
    folded = Header(value, "us-ascii" if plain else "utf-8", header_name=name).encode(linesep="\r\n")
    # A first word that is longer than a line would stand on the second, after an empty first.
    return folded.lstrip()


def _body(text: str, html: str | None) -> tuple[str, bytes]:
    """Both parts, and the boundary between them, which neither holds as nobody can know it before."""
    text = _lines(text)
    html = html_of(text) if html is None else _lines(html)
    boundary = f"=_{secrets.token_hex(12)}"
    start = f"--{boundary}\r\n".encode()
    plain, page = _part("plain", text), _part("html", html)
    return boundary, b"".join((start, plain, b"\r\n", start, page, f"\r\n--{boundary}--\r\n".encode()))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _part(subtype: str, text: str) -> bytes:
    """A part with its headers; `text` has lines that end in LF."""
    encoding, body = _encoded(text)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + body.replace(b"\n", b"\r\n")


def _encoded(text: str) -> tuple[str, bytes]:
    """The transfer encoding that fits, and the text in it, in lines that end in LF."""
    raw = text.encode("utf-8", "replace")
    if _SEVEN_BIT.fullmatch(text):
        return "7bit", raw
    quoted = binascii.b2a_qp(raw)
    if len(quoted) <= _MOST_GROWTH * len(raw):
        return "quoted-printable", quoted
    # Line breaks inside base64 are part of the text, where they are CRLF.
    return "base64", base64.encodebytes(raw.replace(b"\n", b"\r\n"))
