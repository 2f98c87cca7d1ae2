"""The proxy itself: what each of its faults looks like from both ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from helpers.proxy import Proxy
from helpers.wait import until
from notify.postgres.embedded import Embedded

_BIG = 8_000_000


class _Echo:
    """An upstream that says back what it hears, and counts who is connected."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]
        self.alive = 0
        self._lock = threading.Lock()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self.sock.accept()
                threading.Thread(target=self._talk, args=(accepted,), daemon=True).start()

    def _talk(self, accepted: socket.socket) -> None:
        self._count(1)
        with accepted, contextlib.suppress(OSError):
            while data := accepted.recv(65_536):
                accepted.sendall(data)
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self.alive += change


@pytest.fixture
def echo() -> Iterator[_Echo]:
    upstream = _Echo()
    thread = threading.Thread(target=upstream.serve)
    thread.start()
    yield upstream
    upstream.sock.shutdown(socket.SHUT_RDWR)
    upstream.sock.close()
    thread.join()


@pytest.fixture
def link(echo: _Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as proxy:
        yield proxy
        assert proxy.open <= 8


def _dial(link: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=5)


def _ask(sock: socket.socket, words: bytes = b"hello") -> bytes:
    sock.sendall(words)
    return _hear(sock, len(words))


def _hear(sock: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size:
        chunk = sock.recv(size - len(heard))
        assert chunk, "closed"
        heard += chunk
    return heard


def _is_silent(sock: socket.socket) -> bool:
    """Open, and nothing comes for a moment."""
    sock.settimeout(0.2)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(5)
    return False


def test_forwards_both_ways_and_says_goodbye(link: Proxy, echo: _Echo) -> None:
    with _dial(link) as sock:
        assert _ask(sock) == b"hello"
        assert (link.open, link.forwarded, echo.alive) == (1, 10, 1)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    until(lambda: (link.open, echo.alive) == (0, 0))


def test_frozen_link_is_open_and_silent_and_loses_nothing(link: Proxy) -> None:
    with _dial(link) as sock:
        assert _ask(sock) == b"hello"
        link.freeze()
        sock.sendall(b"later")
        with _dial(link) as new:
            new.sendall(b"new")
            assert _is_silent(new)
            assert _is_silent(sock)
            assert link.open == 2
            link.thaw()
            assert (_hear(sock, 5), _hear(new, 3)) == (b"later", b"new")


def test_frozen_link_takes_only_so_much(link: Proxy) -> None:
    with _dial(link) as sock:
        assert _ask(sock) == b"hello"
        link.freeze()
        sock.setblocking(False)
        assert _sent_until_full(sock) < 64_000_000


def _sent_until_full(sock: socket.socket) -> int:
    """Bytes that went out before nothing more was taken for a whole second."""
    sent = 0
    with contextlib.suppress(AssertionError):
        while sent < 64_000_000:
            sent += until(lambda: _send_some(sock), 1)
    return sent


def _send_some(sock: socket.socket) -> int:
    try:
        return sock.send(b"x" * 65_536)
    except BlockingIOError:
        return 0


def test_cut_resets_what_is_open(link: Proxy, echo: _Echo) -> None:
    with _dial(link) as sock, _dial(link) as other:
        assert _ask(sock) == _ask(other)
        link.cut()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        with pytest.raises(ConnectionResetError):
            other.recv(1)
    until(lambda: (link.open, echo.alive) == (0, 0))
    with _dial(link) as again:
        assert _ask(again) == b"hello"


def test_cut_of_a_frozen_link(link: Proxy) -> None:
    link.freeze()
    with _dial(link) as sock:
        until(lambda: link.open == 1)
        link.cut()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    until(lambda: link.open == 0)


def test_refuses_new_connections_only(link: Proxy) -> None:
    with _dial(link) as sock:
        assert _ask(sock) == b"hello"
        link.refuse()
        with pytest.raises(ConnectionRefusedError):
            _dial(link)
        assert _ask(sock) == b"hello"
        link.accept()
        link.accept()
        with _dial(link) as new:
            assert _ask(new) == b"hello"


def test_delay_keeps_the_order(link: Proxy) -> None:
    with _dial(link) as sock:
        assert _ask(sock) == b"hello"
        link.delay(0.1)
        begun = time.monotonic()
        words = [b"%05d" % number for number in range(50)]
        for word in words:
            sock.sendall(word)
        assert _hear(sock, 250) == b"".join(words)
        assert time.monotonic() - begun >= 0.2
        link.delay(0)
        assert _ask(sock) == b"hello"


def test_half_open_ones_stay_silent_for_ever(link: Proxy, echo: _Echo) -> None:
    with _dial(link) as old:
        assert _ask(old) == b"hello"
        link.half_open()
        with _dial(link) as new:
            assert _ask(new) == b"hello"
            link.freeze()
            link.thaw()
            old.sendall(b"anybody?")
            assert _ask(new) == b"hello"
            assert _is_silent(old)
            link.heal()
            with pytest.raises(ConnectionResetError):
                old.recv(1)
            assert _ask(new) == b"hello"
    until(lambda: (link.open, echo.alive) == (0, 0))


def test_big_answers_pass_whole(link: Proxy) -> None:
    with _dial(link) as sock:
        sender = threading.Thread(target=sock.sendall, args=(b"x" * _BIG,))
        sender.start()
        assert len(_hear(sock, _BIG)) == _BIG
        sender.join()
    assert link.forwarded >= _BIG


def test_upstream_that_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    # Reset at the first byte, or already while dialling: the proxy may be the faster one.
    with Proxy("127.0.0.1", port) as link, pytest.raises(ConnectionResetError), _dial(link) as sock:
        sock.recv(1)


async def test_in_front_of_postgres(server: Embedded) -> None:
    with Proxy("127.0.0.1", server.port) as link:
        dsn = f"host=127.0.0.1 port={link.port} user=postgres dbname=postgres"
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute("select 1")
            link.freeze()
            asked = asyncio.create_task(connection.execute("select 2"))
            await asyncio.wait({asked}, timeout=0.2)
            assert not asked.done()
            link.thaw()
            await asked
            link.cut()
            with pytest.raises(psycopg.OperationalError):
                await connection.execute("select 3")
