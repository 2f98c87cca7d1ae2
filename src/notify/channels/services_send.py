"""One message through Apprise, in a thread that may block; services.py starts it, and confined.py holds it.

Apprise.notify() is not used: it sends in threads of its own, tries again, and calls a failure a success, all as the
URL says.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_plus

import apprise

from notify.channels import confined_apprise
from notify.channels.confined import Call, confine
from notify.channels.protocol import Message, Outcome, final, retry, sent

_SHORT, _LONG = 3, 8
"""Shorter parts of a URL are no secret; long ones are found inside of words too."""
_UNREACHED = frozenset({"connect", "dns", "timeout", "tls"})
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def send(call: Call, url: str, message: Message, schemes: frozenset[str] | None) -> Outcome:
    """Send it, or say why not, without secrets of the URL. `schemes`: those allowed; None: any."""
    hide, error = functools.partial(_hide, url, ""), ""
    try:
        asset = confined_apprise.load()
        with confine(call):
            service: Any = apprise.Apprise.instantiate(url, asset=asset)
            if service is None:
                return _refusal(call) or final("bad-address", hide("; ".join(call.said)))
            if schemes is not None and schemes.isdisjoint(service.schemas()):
                return final("scheme-not-allowed", f"{service.service_name} is not in NOTIFY_APPRISE_SCHEMES")
            hide = functools.partial(_hide, url, _host(service))
            taken = _notify(service, url, message)
            del service  # some log out then
        if taken:
            return sent()
    except TimeoutError:
        call.trouble = "timeout"
    except Exception as exception:  # noqa: BLE001 - plugins by a hundred authors
        error = f"{type(exception).__name__}: {exception}"
    return _refusal(call) or _failure(call, hide, error)


def _notify(service: Any, url: str, message: Message) -> bool:
    """Whether the service took it."""
    service.redirects = False
    # It paces the parts of one message; a service that minds says 429, and waiting here would only use up the time.
    service.request_rate_per_sec = 0
    if not re.search(r"[?&]overflow=", url):
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
    wanted = apprise.NotifyFormat.TEXT
    title, body = (message.title, message.message) if message.message else ("", message.title)
    if message.html and service.resolve_format(apprise.NotifyFormat.HTML) == apprise.NotifyFormat.HTML:
        wanted, body = apprise.NotifyFormat.HTML, message.html
        # A service without titles gets it as a part of the body.
        title = html.escape(message.title) if service.title_maxlen <= 0 else message.title
    grave = message.priority in ("high", "urgent")
    kind = apprise.NotifyType.WARNING if grave else apprise.NotifyType.INFO
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
    code = call.trouble or ("error" if error else "failed")
    unreachable = code in _UNREACHED and not call.answered
    return retry(code, detail or "Apprise does not say why", unreachable=unreachable)


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
