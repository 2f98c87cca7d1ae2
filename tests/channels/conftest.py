"""A mail server for a test, a certificate authority that this process trusts, and names that lead to this machine."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from helpers.smtp import MailServer

# It leads to this machine, and does not read like it.
HOST = "mail.example.org"
NOWHERE = "nowhere.example.org"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """The only one that certificates are verified by."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """HOST and NOWHERE are looked up without asking anybody."""
    look_up = socket.getaddrinfo

    def found(host: Any, *arguments: Any, **named: Any) -> Any:
        if host == NOWHERE:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up("127.0.0.1" if host == HOST else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", found)


def certified(authority: trustme.CA, name: str = HOST) -> ssl.SSLContext:
    """What a server of this name encrypts with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
