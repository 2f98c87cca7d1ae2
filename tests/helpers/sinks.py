"""Where outside channels end: a webhook's receiver and a mail server behind one face, for what holds of both."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Protocol, Self

from helpers.receiver import Answer, Receiver
from helpers.smtp import Act, MailServer
from helpers.wait import until

_SECRET = "whsec_" + "c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz"


class Sink(Protocol):
    """Takes what is sent on its channel; a context manager."""

    channel: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def settings(self) -> dict[str, str]:
        """What a worker is told so that it sends here."""

    @property
    def answered(self) -> int:
        """Those that it took and said so."""

    def address(self, name: str) -> str:
        """Of a recipient, here."""

    def hold(self, count: int) -> None:
        """Take the next ones, and say so after `release()` only."""

    def release(self) -> None:
        """Answer those that are held."""

    def wait(self, count: int) -> object:
        """Until so many came."""

    def ids(self) -> Counter[str]:
        """How often each stable id came."""


class WebhookSink(Receiver):
    """A webhook's receiver."""

    channel = "webhook"

    @property
    def settings(self) -> dict[str, str]:
        return {"outside_allow": "127.0.0.0/8", "webhook_secret": _SECRET}

    def address(self, name: str) -> str:
        return f"{self.url}/{name}"

    def hold(self, count: int) -> None:
        self.answer(*[Answer(way="hold")] * count, Answer())

    def ids(self) -> Counter[str]:
        return Counter(request.headers["webhook-id"] for request in self.requests)


class MailSink(MailServer):
    """A mail server."""

    channel = "email"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "smtp_url": f"smtp://127.0.0.1:{self.port}",
            "smtp_from": "Lessons <lessons@example.org>",
            "smtp_connections": "40",
        }

    def address(self, name: str) -> str:
        return f"{name}@example.net"

    def hold(self, count: int) -> None:
        self.script("END", *[Act.HOLD] * count)

    def wait(self, count: int) -> None:
        until(lambda: len(self.mails) >= count, what=f"{count} mails")

    def ids(self) -> Counter[str]:
        return Counter(str(mail.parsed()["message-id"]) for mail in self.mails)
