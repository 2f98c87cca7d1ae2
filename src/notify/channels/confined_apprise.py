"""What Apprise and its HTTP library do in a confined thread, by hooks as confined.py has them.

  AppriseAttachment.instantiate   refuses: by it alone come templates and keys to a plugin, which may be any file of
                                  this machine, or any URL
  HTTPAdapter.send                of requests: bounded in time and size, straight to the host, and never redirected
  __del__                         of plugins, some of which log out there: whoever collects our garbage, as the event
                                  loop, must not do it

A module of its own, as both libraries are imported at the first message only.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import apprise
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError

from notify.channels.confined import Call, current
from notify.channels.webhook_answers import retry_after

MOST_ANSWER = 1_048_576
"""Bytes of an answer; services need a thousandth of it."""
_CONNECT_SECONDS = 5.0
_plain_send = HTTPAdapter.send
_plain_instantiate = apprise.AppriseAttachment.instantiate


@functools.cache
def load() -> apprise.AppriseAsset:
    """Import all plugins and set the hooks, for the life of the process; what plugins of ours are made with."""
    manager: Any = apprise.NotificationManager
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
    _finish_here(manager().plugins(), asset)
    HTTPAdapter.send = _send  # type: ignore[method-assign, assignment]
    apprise.AppriseAttachment.instantiate = staticmethod(_instantiate)  # type: ignore[method-assign]
    return asset


def _finish_here(plugins: Iterable[Any], ours: apprise.AppriseAsset) -> None:
    """Let plugins that were made with `ours` come to their end in threads with a call, or without a word."""
    kinds = {kind for plugin in plugins for kind in plugin.__mro__ if "__del__" in vars(kind)}
    for kind in kinds:

        def finish(plugin: Any, last: Any = kind.__del__) -> None:
            if current() is not None or getattr(plugin, "asset", None) is not ours:
                last(plugin)

        kind.__del__ = finish


def _instantiate(*given: Any, **options: Any) -> Any:
    call = current()
    if call is None:
        return _plain_instantiate(*given, **options)
    call.named_file = True
    return None


def _send(
    adapter: HTTPAdapter,
    request: requests.PreparedRequest,
    stream: bool = False,
    timeout: Any = None,
    verify: Any = True,
    cert: Any = None,
    proxies: Any = None,
) -> requests.Response:
    call = current()
    options = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
    return _exchange(call, adapter, request, options) if call else _plain_send(adapter, request, **options)


def _exchange(
    call: Call, adapter: HTTPAdapter, request: requests.PreparedRequest, options: dict[str, Any]
) -> requests.Response:
    """One request and its whole answer. Raises as `HTTPAdapter.send` does, and TimeoutError when the call is over."""
    left = call.left()
    # A proxy would be judged in place of the host behind it.
    options |= {"timeout": (min(left, _CONNECT_SECONDS), left), "proxies": {}}
    try:
        response = _plain_send(adapter, request, **options)
        call.answered = True
        # Read here, as requests would read all there is, even of a redirect.
        response._content = _bounded(response)
    except requests.RequestException as error:
        call.trouble = _trouble(error)
        raise
    # Without it requests finds no redirect to follow, whatever the URL and the plugin ask for.
    response.headers.pop("Location", None)
    if not 200 <= response.status_code < 300:
        call.status = response.status_code
        call.retry_after = retry_after(response.headers, datetime.now(UTC))
    return response


def _trouble(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "timeout"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls"
    cause = error.args[0] if error.args else None
    if isinstance(getattr(cause, "reason", None), NameResolutionError):
        return "dns"
    return "connect" if isinstance(error, requests.ConnectionError) else "bad-response"


def _bounded(response: requests.Response) -> bytes:
    """The answer's body. Raises RequestException where it is longer than MOST_ANSWER."""
    body = bytearray()
    for piece in response.iter_content(65_536):
        body += piece
        if len(body) > MOST_ANSWER:
            response.close()
            raise requests.RequestException(f"an answer of more than {MOST_ANSWER} bytes")
    return bytes(body)
