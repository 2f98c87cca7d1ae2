"""The channels that Apprise serves: Slack, Telegram, SMS and a hundred other services, each by one URL.

An address is an Apprise URL, a text or an object with `url`. Callers register it, so it decides as little as can be:
its scheme must be on the operator's list, it reaches what is public or in NOTIFY_OUTSIDE_ALLOW, follows no redirect,
names no file of this machine, and has the time that NOTIFY_SEND_SECONDS leaves. confined.py holds it to that while it
sends.

Apprise blocks, so each message has a thread of its own. One that does not end in time is left behind: its connections
are shut, which ends it, and as a daemon it does not hold up the end of the process. The system's resolver may still
hold it for a while; beyond THREADS nothing more is begun.

services_send.py does the sending, and imports the library and its plugins. So it is imported at the first message
itself: that costs 26 MB and 0.8 s, for which the event loop may be 30 ms late. A message takes some 2 ms of CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import threading
from types import TracebackType

from notify.channels import guard
from notify.channels.addresses import apprise_url_of
from notify.channels.confined import UNCONFINED, Call
from notify.channels.protocol import NAME, Message, Outcome, final, retry
from notify.config import Settings
from notify.errors import ConfigError, InvalidValue
from notify.supervise import describe

THREADS = 16
"""Of a channel, with those that were left behind."""
_SHARE = 0.95
"""The part of NOTIFY_SEND_SECONDS that a send gets, so that it ends before it is cancelled, and tells how."""
_TAKEN = ("inbox", "email", "webhook")
_SCHEME = re.compile(r"[a-z0-9][a-z0-9+.-]*")


class AppriseChannel:
    """One name in NOTIFY_APPRISE_CHANNELS; all of them send alike, and differ in the addresses given under the name."""

    description = "Slack, Telegram, SMS and many other services, by Apprise"
    concurrency = 8
    disable_after_days: float | None = None

    def __init__(self, settings: Settings, name: str) -> None:
        """Raises ConfigError as `check_settings` does."""
        check_settings(settings)
        self.name = name
        self._schemes = frozenset(_listed(settings.apprise_schemes))
        self._allowed = guard.networks(settings.outside_allow)
        self._redirect = settings.redirect_apprise
        self._seconds = settings.send_seconds * _SHARE
        self._slots = threading.BoundedSemaphore(THREADS)

    async def __aenter__(self) -> AppriseChannel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def send(self, message: Message) -> Outcome:
        """As the protocol says. An address of several targets fails with one of them, and all are sent to again."""
        try:
            url = self._redirect or apprise_url_of(message.address)
        except InvalidValue as error:
            return final("bad-address", str(error))
        scheme = url.partition("://")[0].lower()
        if self._redirect is None and scheme not in self._schemes:
            return final("scheme-not-allowed", f"{scheme}:// is not in NOTIFY_APPRISE_SCHEMES")
        if not self._slots.acquire(blocking=False):
            return retry("busy", f"{THREADS} threads are held up by earlier messages", outage=True)
        call = Call(self._allowed, self._seconds)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        work = functools.partial(self._work, call, url, message, answer)
        try:
            threading.Thread(target=work, name=f"channel {self.name}", daemon=True).start()
        except RuntimeError as error:  # the system gives no more
            self._slots.release()
            return retry("busy", describe(error), outage=True)
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            return retry("timeout", f"not sent within {self._seconds:g} s", unreachable=not call.answered)
        finally:
            call.end()

    def _work(self, call: Call, url: str, message: Message, answer: asyncio.Future[Outcome]) -> None:
        """What the thread does. It may outlive its call, and the loop."""
        try:
            # Here and not above, for what it costs.
            from notify.channels import services_send  # noqa: PLC0415

            outcome = services_send.send(call, url, message, None if self._redirect else self._schemes)
        except ImportError as error:
            outcome = retry("error", describe(error), outage=True)
        finally:
            self._slots.release()
        with contextlib.suppress(RuntimeError):  # the loop was closed
            answer.get_loop().call_soon_threadsafe(_settle, answer, outcome)


def check_settings(settings: Settings) -> None:
    """Raise ConfigError for settings that cannot be meant."""
    listed = names(settings)
    if len(set(listed)) < len(listed) or not all(NAME.fullmatch(name) and name not in _TAKEN for name in listed):
        raise ConfigError(
            f"NOTIFY_APPRISE_CHANNELS={settings.apprise_channels!r} should be names with commas between: a letter, "
            "then letters, digits and underscores, 32 at most, lower case; none twice, and none of "
            f"{', '.join(_TAKEN)}"
        )
    schemes = _listed(settings.apprise_schemes)
    if not all(_SCHEME.fullmatch(scheme) for scheme in schemes):
        raise ConfigError(
            f"NOTIFY_APPRISE_SCHEMES={settings.apprise_schemes!r} should be schemes with commas between, as slack,ntfys"
        )
    if settings.redirect_apprise is not None:
        try:
            schemes += (apprise_url_of(settings.redirect_apprise).partition("://")[0].lower(),)
        except InvalidValue as error:
            raise ConfigError(f"NOTIFY_REDIRECT_APPRISE=*** cannot be used: {error}") from error
    if refused := sorted(UNCONFINED.intersection(schemes)):
        raise ConfigError(
            f"{', '.join(refused)} cannot be in NOTIFY_APPRISE_SCHEMES or NOTIFY_REDIRECT_APPRISE: what they do cannot "
            "be confined, and some act on this machine; write a channel of your own for them"
        )
    guard.networks(settings.outside_allow)


def names(settings: Settings) -> tuple[str, ...]:
    """The channels' names, in the order of the setting."""
    return _listed(settings.apprise_channels)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _settle(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)
