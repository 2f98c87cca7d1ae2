"""The channels that Apprise serves: Slack, Telegram, SMS and a hundred other services, each by one URL.

An address is an Apprise URL, a text or an object with `url`. Callers register it, so it decides as little as can be:
its scheme must be on the operator's list, it reaches what is public or in NOTIFY_OUTSIDE_ALLOW, follows no redirect,
names no file of this machine, and has the time that NOTIFY_SEND_SECONDS leaves. confined.py holds it to that while it
sends.

Apprise blocks, so each message has a thread of its own. One that does not end in time is left behind: its connections
are shut, which ends it, and as a daemon it does not hold up the end of the process. The system's resolver may still
hold it for a while; beyond THREADS nothing more is begun.

The library and its plugins are imported at the first message, as they cost 26 MB and 0.8 s, for which the event loop may
be 30 ms late. A message takes some 2 ms of CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import html
import re
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote_plus

from notify.channels import guard
from notify.channels.addresses import apprise_url_of
from notify.channels.confined import UNCONFINED, Call, confine
from notify.channels.protocol import NAME, Message, Outcome, final, retry, sent
from notify.config import Settings
from notify.errors import ConfigError, InvalidValue

THREADS = 16
"""Of a channel, with those that were left behind."""
_SHARE = 0.95
"""The part of NOTIFY_SEND_SECONDS that a send gets, so that it ends before it is cancelled, and tells how."""
_TAKEN = ("inbox", "email", "webhook")
_SCHEME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_SHORT, _LONG = 3, 8
"""Shorter parts of a URL are no secret; long ones are found inside of words too."""
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


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
        threading.Thread(target=work, name=f"channel {self.name}", daemon=True).start()
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            return retry("timeout", f"not sent within {self._seconds:g} s")
        finally:
            call.end()

    def _work(self, call: Call, url: str, message: Message, answer: asyncio.Future[Outcome]) -> None:
        """What the thread does. It may outlive its call, and the loop."""
        try:
            outcome = _send(call, url, message, None if self._redirect else self._schemes)
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


@functools.cache
def _library() -> tuple[Any, Any]:
    """Apprise with all its plugins, and what they are told of us."""
    # Imported here and not above; the plugins are, at the first question for them.
    import apprise  # noqa: PLC0415

    from notify.channels import confined_apprise  # noqa: PLC0415

    confined_apprise.install()
    plugins: Any = apprise.NotificationManager
    plugins().schemas()
    # Nothing of Apprise's own in a message, and nothing kept on disk.
    asset = apprise.AppriseAsset(
        app_id="notify",
        app_desc="Notifications",
        image_path_mask=False,
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        storage_mode="memory",
        pgp_autogen=False,
        pem_autogen=False,
    )
    return apprise, asset


def _send(call: Call, url: str, message: Message, schemes: frozenset[str] | None) -> Outcome:
    """Blocks until it is sent or has failed. `schemes`: those allowed; None: any."""
    hide, error = functools.partial(_hide, url, ""), ""
    try:
        library, asset = _library()
        with confine(call):
            service = library.Apprise.instantiate(url, asset=asset)
            if service is None:
                return _refusal(call) or final("bad-address", hide("; ".join(call.said)))
            if schemes is not None and schemes.isdisjoint(service.schemas()):
                return final("scheme-not-allowed", f"{service.service_name} is not in NOTIFY_APPRISE_SCHEMES")
            hide = functools.partial(_hide, url, _host(service))
            if _notify(library, service, url, message):
                return sent()
    except TimeoutError:
        call.trouble = "timeout"
    except Exception as exception:  # noqa: BLE001 - plugins by a hundred authors
        error = f"{type(exception).__name__}: {exception}"
    return _refusal(call) or _failure(call, hide, error)


def _notify(library: Any, service: Any, url: str, message: Message) -> bool:
    """Whether the service took it."""
    # Not by Apprise.notify(), which tries again and calls a failure a success where the URL says so.
    service.redirects = False
    # It paces the parts of one message; a service that minds says 429, and waiting here would only use up the time.
    service.request_rate_per_sec = 0
    if not re.search(r"[?&]overflow=", url):
        service.overflow_mode = library.OverflowMode.TRUNCATE
    wanted = library.NotifyFormat.TEXT
    title, body = (message.title, message.message) if message.message else ("", message.title)
    if message.html and service.resolve_format(library.NotifyFormat.HTML) == library.NotifyFormat.HTML:
        wanted, body = library.NotifyFormat.HTML, message.html
        # A service without titles gets it as a part of the body.
        title = html.escape(message.title) if service.title_maxlen <= 0 else message.title
    grave = message.priority in ("high", "urgent")
    kind = library.NotifyType.WARNING if grave else library.NotifyType.INFO
    return bool(service.notify(title=title, body=body, body_format=wanted, notify_type=kind))


def _refusal(call: Call) -> Outcome | None:
    """What comes of the URL's asking for what it may not have."""
    if call.blocked is not None:
        return final("blocked", f"its host must not be reached: {call.blocked.kind}")
    if call.named_file:
        return final("bad-address", "its URL must not name files, as templates or keys")
    return None


def _failure(call: Call, hide: Callable[[str], str], error: str) -> Outcome:
    detail = hide("; ".join([*call.said, error] if error else call.said))
    if call.status is not None:
        return retry(f"http-{call.status}", detail, retry_after=call.retry_after)
    return retry(call.trouble or ("error" if error else "failed"), detail or "Apprise does not say why")


def _host(service: Any) -> str:
    """The host in its URL, which is no secret; empty where it may be something else, as a topic of ntfy."""
    named = "." in str(service.host) and any("{host}" in template for template in service.templates)
    return str(service.host) if named else ""


def _hide(url: str, host: str, text: str) -> str:
    """The text in one line, without any part of the URL but the host, as only the plugin knows which are secret."""
    given = re.split(r"[/:@?&=]+", url.partition("://")[2])
    whole = {form for part in given for form in (part, unquote_plus(part))}
    pieces = {piece for part in whole for piece in (part, quote(part, safe=""), *re.split(r"[\s,;/:@]+", part))}
    secrets = [one for one in pieces if len(one) >= _SHORT and one.lower() != host.lower()]
    for secret in sorted(secrets, key=len, reverse=True):
        pattern = re.escape(secret)
        text = re.sub(pattern if len(secret) >= _LONG else rf"(?<!\w){pattern}(?!\w)", "***", text, flags=re.IGNORECASE)
    return _UNSHOWABLE.sub(" ", text).strip()
