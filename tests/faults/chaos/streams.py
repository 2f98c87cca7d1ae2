"""Judges streams: the rows' numbers, and what each listener heard of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from faults.chaos.history import Frame, Heard, History, Opened, Reset, Row, Stored, Tick
from faults.chaos.verdicts import Kind, Verdict


def judge_streams(history: History, stored: Stored) -> Iterator[Verdict]:
    """Each stream is 1, 2, 3, … in the rows, and was heard whole and in order."""
    streams: dict[str, list[Row]] = defaultdict(list)
    for row in stored.rows.values():
        if row.seq is not None:
            streams[row.recipient].append(row)
    for recipient in stored.mailboxes:
        yield from _judge_numbers(recipient, streams[recipient], stored)
    for heard in history.listeners.values():
        yield from _judge_order(heard)
        yield from _judge_frames(heard, stored)
        yield from _judge_missing(heard, streams[heard.recipient])


def _judge_numbers(recipient: str, rows: list[Row], stored: Stored) -> Iterator[Verdict]:
    seqs = [row.seq for row in rows if row.seq is not None]
    box = stored.mailboxes[recipient]
    for seq in sorted({seq for seq in seqs if seqs.count(seq) > 1}) if len(set(seqs)) < len(seqs) else []:
        yield Verdict(Kind.DOUBLED, f"{recipient}: seq {seq} is of {[row.id for row in rows if row.seq == seq]}")
    if missing := sorted(set(range(1, max(seqs, default=0) + 1)) - set(seqs)):
        yield Verdict(Kind.HOLE, f"{recipient}: no seq {missing[:10]}")
    if box.last_seq != max(seqs, default=0):
        yield Verdict(Kind.HOLE, f"{recipient}: last_seq is {box.last_seq}, the rows end at {max(seqs, default=0)}")
    unread = sum(row.read_at is None for row in rows)
    if box.unread != unread:
        yield Verdict(Kind.WRONG, f"{recipient}: unread is {box.unread}, of the rows {unread}")


def _judge_order(heard: Heard) -> Iterator[Verdict]:
    """Within one connection each frame is the last one's successor."""
    last: int | None = None
    epoch, handled = None, 0
    for event in heard.events:
        match event:
            case Opened():
                if epoch not in (None, event.epoch):
                    yield Verdict(Kind.HOLE, f"{heard.recipient}: the epoch changed from {epoch} to {event.epoch}")
                epoch, last = event.epoch, event.after
            case Reset():
                last = event.last_seq
            case Tick():
                if event.last_seq > handled:
                    yield Verdict(Kind.HOLE, f"{heard.recipient}: a tick tells {event.last_seq} after {handled}")
            case Frame():
                # Where the server chose the beginning, it lies at most after what was handled.
                if event.live and event.seq != last + 1 if last is not None else event.seq > handled + 1:
                    yield Verdict(Kind.HOLE, f"{heard.recipient}: {event.seq} came after {last} (handled {handled})")
                last = event.seq if event.live else last
                handled = max(handled, event.seq)


def _judge_frames(heard: Heard, stored: Stored) -> Iterator[Verdict]:
    """Each id has one seq, that of its row, and its row's content."""
    for frame in (event for event in heard.events if isinstance(event, Frame)):
        row = stored.rows.get(frame.id)
        name = f"{heard.recipient}: frame {frame.seq} of {frame.id}"
        if row is None:
            yield Verdict(Kind.LOST, f"{name} was heard and is not stored")
        elif row.status == "cancelled":
            yield Verdict(Kind.CANCELLED_BUT_SENT, f"{name} was heard and is cancelled")
        elif row.status != "sent":
            yield Verdict(Kind.LOST, f"{name} was heard and is {row.status}")
        elif row.seq != frame.seq:
            yield Verdict(Kind.DOUBLED, f"{name}: its row has seq {row.seq}")
        elif not _fits(frame, heard, row, stored):
            yield Verdict(Kind.WRONG, f"{name} differs from its row: {frame} {row}")


def _fits(frame: Frame, heard: Heard, row: Row, stored: Stored) -> bool:
    batch = stored.batches[row.batch_id]
    said = (frame.recipient, heard.recipient, frame.title, frame.reference)
    times = abs(frame.due_at - row.due_at), abs(frame.sent_at - (row.sent_at or 0))
    return said == (row.recipient, row.recipient, batch.title, batch.reference) and max(times) < 1e-4


def _judge_missing(heard: Heard, rows: list[Row]) -> Iterator[Verdict]:
    seqs = {event.seq for event in heard.events if isinstance(event, Frame)}
    if missing := sorted({row.seq for row in rows if row.seq is not None} - seqs):
        yield Verdict(Kind.HOLE, f"{heard.recipient}: never heard {missing[:10]}, {len(missing)} in all")
