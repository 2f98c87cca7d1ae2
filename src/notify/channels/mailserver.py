"""Which mail server the settings name, and how it is to be spoken to."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from notify.config import Settings
from notify.errors import ConfigError

_SMTP_PORT = 25
_SMTPS_PORT = 465
_FULL_NAME = re.compile(r"[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+")
_WANTED = (
    "NOTIFY_SMTP_URL should read like smtp://USER:PASSWORD@HOST:587 or smtps://HOST, "
    "with what is special in the password percent-encoded"
)


class MailServer(msgspec.Struct, frozen=True):
    """Where it is, and what it wants."""

    host: str
    port: int
    tls: Literal["implicit", "require", "try", "off"]
    """From the first byte, or as the setting of STARTTLS says."""
    login: tuple[str, str] | None
    """User and password."""
    hello: str
    """The name that we tell it as ours."""

    def __repr__(self) -> str:
        return f"MailServer({self.host!r}, {self.port})"

    @property
    def is_here(self) -> bool:
        """Whether what is sent to it never leaves this machine."""
        return _is_loopback(self.host)

    def tls_context(self) -> ssl.SSLContext | None:
        """What verifies its certificate; None where none is asked for."""
        return None if self.tls == "off" else ssl.create_default_context()

    def without_secrets(self, text: str) -> str:
        """A text of the server's without our password, which some servers quote."""
        if self.login is None:
            return text
        user, password = (part.encode() for part in self.login)
        for secret in (b"\0" + user + b"\0" + password, password):
            text = text.replace(base64.b64encode(secret).decode(), "***")
        return text.replace(self.login[1], "***") if password else text


def server_of(settings: Settings, sender_domain: str) -> MailServer:
    """The mail server of `smtp_url`, which must be set. Raises ConfigError."""
    try:
        url = urlsplit(settings.smtp_url or "")
        port = url.port
        # So it is looked up; what cannot be is no name.
        (url.hostname or "").encode("idna")
    except ValueError:
        # Its text quotes the URL, in which what should be the port may be a part of the password.
        raise ConfigError(_WANTED) from None
    # A password with a # or a / that is not encoded ends the host early.
    if not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ConfigError(_WANTED)
    if (url.username is None) != (url.password is None):
        raise ConfigError("NOTIFY_SMTP_URL should have both a user and a password, or neither")
    implicit = url.scheme == "smtps"
    return MailServer(
        host=url.hostname,
        port=port or (_SMTPS_PORT if implicit else _SMTP_PORT),
        tls="implicit" if implicit else _starttls(settings, url.hostname),
        login=_login(url),
        hello=_own_name(sender_domain),
    )


def _starttls(settings: Settings, host: str) -> Literal["require", "try", "off"]:
    # What does not leave the machine needs no encryption, and the certificate of a mail server there is seldom one that
    # can be verified. Who wants it all the same says `try`.
    return "off" if settings.smtp_tls == "require" and _is_loopback(host) else settings.smtp_tls


def _login(url: SplitResult) -> tuple[str, str] | None:
    return None if url.username is None or url.password is None else (unquote(url.username), unquote(url.password))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _own_name(sender_domain: str) -> str:
    """This machine's name where it is a full one, else the sender's domain: servers dislike others."""
    # Not socket.getfqdn(), which asks the DNS and may wait for it.
    name = socket.gethostname()
    return name if _FULL_NAME.fullmatch(name) else sender_domain
