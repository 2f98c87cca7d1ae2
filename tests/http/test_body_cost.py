"""What a body costs to read: memory and time in proportion to its bytes, whatever is in it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from notify.errors import NotifyError
from notify.http import bodies
from notify.http.schedule import data_text
from notify.http.shapes import ReadRequest, RecipientFields, ScheduleRequest, TokenRequest

# Python's objects are larger than their JSON: an empty list has 64 bytes for its three.
_BYTES_PER_BYTE = 64
_FREE = 64_000

BODIES: dict[str, Callable[[int], bytes]] = {
    "a long key over many values": lambda size: (
        b'{"\\u0061' + b"k" * (size // 2) + b'":[' + b",".join([b"0"] * (size // 4)) + b"]}"
    ),
    "the same, with a NUL at the end": lambda size: (
        b'{"\\u0061' + b"k" * (size // 2) + b'":[' + b",".join([b"0"] * (size // 4)) + b',"\\u0000"]}'
    ),
    "long keys in one another": lambda size: (b'{"' + b"k" * (size // 50) + b'":') * 50 + b'"\\u0000"' + b"}" * 50,
    "many keys": lambda size: (
        b"{" + b",".join(b'"%06d":0' % number for number in range(size // 11)) + b',"z":"\\u0000"}'
    ),
    "many objects": lambda size: b'{"data":{"a":[' + b",".join([b"{}"] * (size // 3)) + b',"\\u0000"]}}',
    "nothing but brackets": lambda size: b'{"data":' + b"[" * size,
    "brackets, then a NUL": lambda size: b'{"data":' + b"[" * size + b'"\\u0000"',
    "one long text": lambda size: b'{"title":"' + b"x" * size + b'"}',
    "a text of escapes": lambda size: b'{"title":"' + b"\\n" * (size // 2) + b'\\u0041"}',
    "a text that does not end": lambda size: b'{"title":"\\u0000' + b"\\n" * (size // 2),
    "backslashes": lambda size: b'{"title":"' + b"\\" * (size // 2 * 2) + b'u0000"}',
    "surrogates in pairs": lambda size: b'{"title":"' + b"\\ud83d\\ude00" * (size // 12) + b'"}',
    "surrogates without": lambda size: b'{"title":"' + b"\\ud83d" * (size // 6) + b'"}',
    "bytes that are no UTF-8": lambda size: b'{"title":"' + b"\xff" * size + b'"}',
    "a huge integer": lambda size: b'{"title":' + b"9" * size + b"}",
    "a number of many digits": lambda size: b'{"data":{"n":0.' + b"9" * size + b"}}",
    "integers as long as they may be": lambda size: (
        b'{"data":{"n":[' + b",".join([b"9" * 4_300] * (size // 4_301 + 1)) + b"]}}"
    ),
}
KINDS = (ReadRequest, TokenRequest, RecipientFields, ScheduleRequest)


def _peak(work: Callable[[], object]) -> int:
    """The most memory, in bytes, that the work needed at a time."""
    tracemalloc.start()
    try:
        work()
    except NotifyError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_reading_a_body(name: str, kind: type[Any]) -> None:
    body = BODIES[name](10_000)
    assert len(body) < 20_000
    assert _peak(lambda: bodies.decode(body, kind)) < _FREE + _BYTES_PER_BYTE * len(body)


def test_data_that_is_too_large_is_not_looked_into() -> None:
    data = Raw(b'{"a":[' + b",".join([b"{}"] * 70_000) + b"]}")
    assert _peak(lambda: data_text(data)) < _FREE + 2 * len(data)
