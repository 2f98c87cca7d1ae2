"""Who is connected to this process, and the hand that gives each what is theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from notify.config import Settings
from notify.errors import TooManyRequests
from notify.gateway import frames
from notify.gateway.closing import Closing
from notify.gateway.connection import Connection
from notify.gateway.frames import Content
from notify.gateway.signals import Line


class _Seat:
    """A recipient's connections here."""

    __slots__ = ("connections", "quoted")

    def __init__(self, recipient: str) -> None:
        self.connections: list[Connection] = []
        self.quoted = frames.quoted(recipient)


class Hub:
    """The registry. Limits are refused with TooManyRequests, which says which one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seats: dict[str, _Seat] = {}
        self._connections: dict[Connection, str | None] = {}
        self._by_key: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    def __contains__(self, recipient: object) -> bool:
        return recipient in self._seats

    def add(self, connection: Connection, key: str | None) -> None:
        """Register; `key` names the API key behind it, if it is one."""
        self._check_limits(connection.recipient, key)
        self._seats.setdefault(connection.recipient, _Seat(connection.recipient)).connections.append(connection)
        self._connections[connection] = key
        if key is not None:
            self._by_key[key] += 1

    def remove(self, connection: Connection) -> None:
        """Forget; harmless when it is not there."""
        if connection not in self._connections:
            return
        key = self._connections.pop(connection)
        if key is not None:
            self._by_key[key] -= 1
            self._by_key += Counter()  # drops those at zero
        seat = self._seats[connection.recipient]
        seat.connections.remove(connection)
        if not seat.connections:
            del self._seats[connection.recipient]

    def recipients(self) -> list[str]:
        """Those who are connected."""
        return list(self._seats)

    def of(self, recipient: str) -> tuple[Connection, ...]:
        """The connections of one."""
        seat = self._seats.get(recipient)
        return tuple(seat.connections) if seat is not None else ()

    def ring_all(self) -> None:
        """Have every connection compared with the rows."""
        for connection in self:
            connection.ring()

    def close_all(self, closing: Closing) -> list[Connection]:
        """Begin to close every connection; those it was."""
        connections = list(self)
        for connection in connections:
            connection.close(closing)
        return connections

    def dispatch(self, lines: list[Line], contents: dict[int, Content]) -> None:
        """Give each line to its recipient's connections, encoded once for all of them. Never waits."""
        # What comes for one connection is written together.
        offered: dict[Connection, None] = {}
        try:
            for line in lines:
                self._offer(line, contents.get(line.batch_id), offered)
        finally:
            for connection in offered:
                connection.flush()

    def _offer(self, line: Line, content: Content | None, offered: dict[Connection, None]) -> None:
        seat = self._seats.get(line.recipient)
        if seat is None:
            return
        if content is None:
            for connection in seat.connections:
                connection.ring()
            return
        frame = _Frame(line, seat.quoted, content)
        for connection in seat.connections:
            connection.offer(line.generation, line.seq, frame)
            offered[connection] = None

    def _check_limits(self, recipient: str, key: str | None) -> None:
        settings = self._settings
        if len(self._connections) >= settings.max_connections:
            raise TooManyRequests("this server has too many connections")
        if len(self.of(recipient)) >= settings.max_connections_per_recipient:
            most = settings.max_connections_per_recipient
            raise TooManyRequests(f"a recipient may have at most {most} connections")
        if key is not None and self._by_key[key] >= settings.max_connections_per_key:
            raise TooManyRequests(f"a key may have at most {settings.max_connections_per_key} connections")


class _Frame:
    """A line's frame, put together when the first connection asks for it."""

    __slots__ = ("_content", "_line", "_quoted", "_text")

    def __init__(self, line: Line, quoted: str, content: Content) -> None:
        self._line = line
        self._quoted = quoted
        self._content = content
        self._text: str | None = None

    def __call__(self) -> str:
        if self._text is None:
            line = self._line
            times = frames.time_of_micros(line.scheduled_at), frames.time_of_micros(line.sent_at)
            body = frames.notification(line.id, self._quoted, self._content, *times)
            self._text = frames.notification_frame(line.seq, body)
        return self._text
