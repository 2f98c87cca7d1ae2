"""A thread confined to one message: where it may connect to, how long it may take, and who hears what it logs.

Apprise opens connections deep inside its plugins, has no bound that would end the thread of a send, and says why one
failed nowhere but in its log. A `Call` is what we hold against that, by hooks that do nothing in threads without one:

  socket.socket.connect   judges the address about to be connected, when names have been resolved. Judging a name
                          before would not hold, as it may lead elsewhere at the next lookup. All that is Python
                          connects by this method: requests, smtplib, and plugins with a protocol of their own
  logging                 keeps Apprise's warnings for the outcome; nothing of it and of urllib3 reaches the log of the
                          process, as both write URLs with their tokens there

confined_apprise.py adds others. What a call does not hold: threads that a plugin starts, datagrams, and this
machine's own log, desktop and devices. UNCONFINED lists the schemes that do such things.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from notify.channels.guard import Blocked, Network, refuse

UNCONFINED = frozenset(
    {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "mqtt", "mqtts", "qt", "rsyslog", "syslog", "windows"}
    | {"xmpp", "xmpps"}
)
_KEPT, _DROPPED = "apprise", "urllib3.connectionpool"
_MOST_SAID = 10
_OVER = "the time of this message is over"

_here = threading.local()
_installing = threading.Lock()
_plain_connect = socket.socket.connect
_plain_connect_ex = socket.socket.connect_ex


class Call:
    """One message on its way through Apprise. What it learned tells the outcome; any thread may `end` it."""

    def __init__(self, allowed: tuple[Network, ...], seconds: float) -> None:
        """`allowed`: what may be reached though it is not public."""
        self.said: list[str] = []
        """Apprise's warnings, with whatever secrets it put into them."""
        self.blocked: Blocked | None = None
        self.named_file = False
        """Whether the URL has its plugin read a file."""
        self.trouble = ""
        """What went wrong below HTTP, as a code."""
        self.answered = False
        """Whether any HTTP answer came, whatever it said."""
        self.status: int | None = None
        """The last HTTP status other than 2xx."""
        self.retry_after: float | None = None
        """Seconds that the service asked to be left alone, with that status."""
        self._allowed = allowed
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self._over = False

    def left(self) -> float:
        """Seconds left. Raises TimeoutError when there are none, or the call was ended."""
        seconds = self._deadline - time.monotonic()
        if self._over or seconds <= 0:
            raise TimeoutError(_OVER)
        return seconds

    def admit(self, connection: socket.socket, address: Any) -> Any:
        """Where this connection may be made to. Raises Blocked, TimeoutError, or OSError for a name that is none."""
        left = self.left()
        try:
            if connection.family not in (socket.AF_INET, socket.AF_INET6):
                raise Blocked(str(address), "no address of a network")
            # A name that was left until now is looked up here, and not once more after it was judged.
            host, port = address[:2]
            address = socket.getaddrinfo(host, port, connection.family, connection.type)[0][4]
            refuse(address[0], self._allowed)
        except Blocked as error:
            self.blocked = error
            connection.close()  # urllib3 does that after an OSError only
            raise
        timeout = connection.gettimeout()
        if timeout is None or timeout > left:
            connection.settimeout(left)
        self._hold(connection)
        return address

    def end(self) -> None:
        """Shut its connections, so that its thread waits for none of them, and let it open no more."""
        with self._lock:
            self._over = True
            held, self._held = self._held, []
        for connection in held:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _hold(self, connection: socket.socket) -> None:
        # By a second descriptor: TLS takes the first one over, and its thread may close it at any time.
        copy = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            if not self._over:
                self._held.append(copy)
                return
        copy.close()
        raise TimeoutError(_OVER)


@contextlib.contextmanager
def confine(call: Call) -> Iterator[None]:
    """Hold this thread to the call; afterwards the call is ended."""
    _install()
    _here.call = call
    try:
        yield
    finally:
        _here.call = None
        call.end()


def current() -> Call | None:
    """The call that this thread is held to."""
    return getattr(_here, "call", None)


def _install() -> None:
    """Set the hooks, once for the life of the process: taking them back would free threads that still run."""
    with _installing:
        if socket.socket.connect is _connect:
            return
        for name in (_KEPT, _DROPPED):
            logging.getLogger(name).addFilter(_overhear)
        socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign, assignment]
        socket.socket.connect = _connect  # type: ignore[method-assign, assignment]


def _connect(connection: socket.socket, address: Any) -> None:
    call = current()
    _plain_connect(connection, call.admit(connection, address) if call else address)


def _connect_ex(connection: socket.socket, address: Any) -> int:
    call = current()
    return _plain_connect_ex(connection, call.admit(connection, address) if call else address)


def _overhear(record: logging.LogRecord) -> bool:
    """A filter: what is logged in the thread of a call goes no further."""
    call = current()
    if call is None:
        return True
    if record.name == _KEPT and record.levelno >= logging.WARNING and len(call.said) < _MOST_SAID:
        with contextlib.suppress(TypeError, ValueError):  # arguments that do not fit their format
            call.said.append(record.getMessage())
    return False
