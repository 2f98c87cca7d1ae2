"""One socket: what it is to be sent, and the one task that sends it.

Live frames go into a bounded queue. When the queue is full, or a seq is missing, the connection is behind: it is
then sent pages of rows, as fast as it takes them, so however much is missed, memory stays bounded. A client that
takes nothing is closed as too slow, and resumes from its cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import psycopg
import structlog

from notify.config import Settings
from notify.errors import NotifyError
from notify.gateway import closing, frames
from notify.gateway.closing import Closing
from notify.gateway.cursor import Cursor
from notify.gateway.outbox import Outbox
from notify.gateway.position import Position
from notify.gateway.stream import Box, Page, Stream
from notify.gateway.wire import Gone, OneByOne, Pusher, Send, dismiss, send_all, send_now
from notify.supervise import backoff, describe, end

log = structlog.stdlib.get_logger(__name__)

_PAGE_ROWS = 100
# What is written at once of frames that wait: beyond this much, a client that does not read is waited for.
_WRITE_CHARS = 65_536
# How long a client has to take its close frame.
_LINGER_SECONDS = 5.0
_RETRY_SECONDS = 5.0


class Connection:
    """An authenticated socket of one recipient. `abort` ends it at once, whatever is left to send."""

    __slots__ = (
        "_abort",
        "_closing",
        "_cursor",
        "_looking",
        "_next_tick",
        "_outbox",
        "_pusher",
        "_send",
        "_settings",
        "_stream",
        "_task",
        "_writing_since",
        "greeted",
        "position",
        "recipient",
        "sent",
        "was_cut_off",
    )

    def __init__(
        self,
        recipient: str,
        cursor: Cursor,
        stream: Stream,
        settings: Settings,
        send: Send,
        abort: Callable[[], object],
        pusher: Pusher | None = None,
    ) -> None:
        self.recipient = recipient
        self.position = Position()
        self.greeted = asyncio.Event()
        """Set when it is known which stream this is, or when the end has come before that."""
        self.sent = 0
        self.was_cut_off = False
        self._cursor = cursor
        self._stream = stream
        self._settings = settings
        self._send = send
        self._pusher = pusher or OneByOne(send)
        self._abort = abort
        self._outbox = Outbox(settings.send_queue_frames, settings.send_queue_bytes)
        self._closing: Closing | None = None
        self._looking = False
        self._writing_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._next_tick = asyncio.get_running_loop().time() + settings.ws_ping_seconds

    def start(self) -> None:
        """Begin to send: hello, what was missed, then what comes."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the sending task; the socket is gone, or told to go."""
        if self._task is not None:
            await end(self._task)

    # what the hub and the handler call; none of these waits

    def offer(self, generation: int, seq: int, frame: Callable[[], str]) -> None:
        """A signal came: queue its frame if it is the next one, else see to it that rows are read.

        `flush` is to follow, once for all that is offered together.
        """
        if not self.position.behind and not self._outbox.has_room:
            self.ring()
        elif self.position.take(generation, seq):
            self._outbox.put(frame())
        else:
            self._outbox.wake()  # it may be behind now

    def flush(self) -> None:
        """Write what was offered: here and now if the task does nothing but wait for it, else let the task.

        A task that is woken for a frame costs about as much as all else that the frame does before the kernel has it.
        """
        outbox = self._outbox
        while outbox and outbox.is_awaited:
            some = outbox.take(_WRITE_CHARS)
            if not send_now(self._pusher, some):
                outbox.put_back(some)
                outbox.wake()
                return
            self.sent += len(some)
        if outbox or self.position.behind:
            outbox.wake()

    def ring(self) -> None:
        """Something may have been missed: compare with the rows."""
        self.position.fall_behind()
        self._outbox.wake()

    def tick_if_due(self, generation: int, last_seq: int, unread: int, now: float) -> None:
        """Send a sign of life when it is time, and all up to `last_seq` has been sent or waits before it."""
        if now < self._next_tick or not self._outbox.has_room:
            return
        if (self.position.generation, self.position.last) == (generation, last_seq):
            self._next_tick = now + self._settings.ws_ping_seconds
            self._say(frames.Tick(last_seq, unread))

    def complain(self, code: str, detail: str) -> None:
        """Send an error frame; the connection stays."""
        if self._outbox.has_room:
            self._say(frames.Failure(code, detail))

    def close(self, closing: Closing) -> None:
        """Send no more frames but those of the closing. The first call counts."""
        if self._closing is not None:
            return
        self._closing = closing
        if self._task is not None and (self._writing_since is not None or self._looking):
            self._task.cancel()  # out of a write that is stuck, or of a statement
        else:
            self._outbox.wake()

    @property
    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._closing is not None

    def is_slow(self, now: float) -> bool:
        """Whether a write has been stuck for too long. A full queue alone is no fault: a burst fills it too."""
        return self._writing_since is not None and now - self._writing_since > self._settings.send_timeout

    def _say(self, frame: frames.Tick | frames.Failure) -> None:
        self._outbox.put(frames.encode(frame))
        self._outbox.wake()

    # the sending task

    async def _run(self) -> None:
        try:
            await self._serve()
        except asyncio.CancelledError:
            if self._closing is None:
                raise
        except Gone:
            return  # the handler sees that too
        except Exception:
            log.exception("connection failed", recipient=self.recipient)
            self._closing = closing.FAILED
        finally:
            self.greeted.set()
        await self._farewell()

    async def _serve(self) -> None:
        await self._open()
        while self._closing is None:
            if self._outbox:
                await self._write(self._outbox.take(_WRITE_CHARS))
            elif self.position.behind:
                await self._catch_up()
            else:
                await self._outbox.wait()

    async def _open(self) -> None:
        page = None
        while page is None and self._closing is None:
            page = await self._look(*self._start())
        if page is None:
            return
        box = page.box
        await self._write([frames.encode(frames.Hello(self.recipient, box.epoch, box.last_seq, box.unread))])
        goes_on = self.position.begin(self._cursor, box, self._settings.replay_limit)
        self.greeted.set()
        if goes_on:
            await self._replay(page)
        else:
            await self._reset(box)

    def _start(self) -> tuple[int | None, int]:
        """From which seq to read first (None: what was acknowledged), and how many rows."""
        match self._cursor.start:
            case "acked":
                return None, _PAGE_ROWS
            case "now":
                return 0, 0
            case "seq":
                return self._cursor.seq, _PAGE_ROWS

    async def _catch_up(self) -> None:
        page = await self._look(self.position.last, _PAGE_ROWS)
        if page is None:
            return
        if self.position.goes_on(page.box):
            await self._replay(page)
        else:
            await self._reset(page.box)

    async def _look(self, after: int | None, limit: int) -> Page | None:
        """A page; None when there is no such recipient, and the end has begun, or after a pause to try again."""
        self._looking = True
        self.position.look()
        try:
            page = await self._stream.page(self.recipient, after, limit)
        except (psycopg.Error, NotifyError) as error:
            await self._endure(error)
            return None
        finally:
            self._looking = False
        if page is None and self._closing is None:
            self._closing = closing.UNKNOWN_RECIPIENT
        return page

    async def _endure(self, error: Exception) -> None:
        """The database is away: who waits for hello is sent away, the others wait for it."""
        log.warning("stream not read", recipient=self.recipient, error=describe(error))
        if self.position.epoch:
            self.position.fall_behind()
            await asyncio.sleep(backoff(5, 0.1, _RETRY_SECONDS))
        elif self._closing is None:
            self._closing = closing.UNAVAILABLE

    async def _replay(self, page: Page) -> None:
        some: list[str] = []
        chars = 0
        for entry in page.entries():
            if entry.seq != self.position.last + 1:  # cannot be, but must not be passed over
                log.error("hole in a stream", recipient=self.recipient, seq=entry.seq)
                await self._write(some)
                return await self._reset(page.box)
            self.position.last = entry.seq
            some.append(frames.notification_frame(entry.seq, entry.notification))
            chars += len(some[-1])
            if chars >= _WRITE_CHARS:
                await self._write(some)
                if self._closing is not None:
                    return None
                some, chars = [], 0
        await self._write(some)
        self.position.settle(page.box)
        return None

    async def _reset(self, box: Box) -> None:
        self.position.reset(box)
        await self._write([frames.encode(frames.Reset(box.epoch, box.last_seq, box.unread))])
        self.position.settle(box)

    async def _write(self, some: Sequence[str]) -> None:
        self._writing_since = asyncio.get_running_loop().time()
        await send_all(self._pusher, some)
        self._writing_since = None
        self.sent += len(some)

    async def _farewell(self) -> None:
        """Send the last frames; a client that does not take them in time is cut off."""
        assert self._closing is not None
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                await dismiss(self._send, self._closing)
        except TimeoutError:
            self.was_cut_off = True
            self._abort()
        except Gone:
            return
