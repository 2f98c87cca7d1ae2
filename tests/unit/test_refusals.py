"""Which field a byte of a JSON text is in: found without parsing, and where parsing would find it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.errors import InvalidValue
from notify.http.refusals import field_at, refuse_unstorable

MARK = "here it is"
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def marked(draw: st.DrawFn) -> tuple[Any, str]:
    """A JSON value with the mark somewhere in it, and the path to that."""
    value: Any = MARK
    path = ""
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            before, after = draw(st.lists(VALUES, max_size=3)), draw(st.lists(VALUES, max_size=3))
            value, path = [*before, value, *after], f"[{len(before)}]{path}"
        else:
            key = draw(st.text())
            fields: dict[str, Any] = draw(st.dictionaries(st.text(), VALUES, max_size=3))
            fields.pop(key, None)
            value, path = {**fields, key: value}, f".{key}{path}"
    return value, path.lstrip(".")


@given(marked(), st.booleans(), st.sampled_from([None, 2]))
def test_a_text_is_found_where_it_is(given: tuple[Any, str], ascii: bool, indent: int | None) -> None:
    value, path = given
    body = json.dumps(value, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass")
    found = field_at(body, body.index(MARK.encode()))
    assert found == path


@pytest.mark.parametrize("bad", [r"\u0000", r"\ud800", r"\uDFFF", r"\ud83d\ud83d", r"\ude00\ud83d", r"\ud83dx\ude00"])
def test_what_cannot_be_stored_is_refused(bad: str) -> None:
    for text in (bad, rf"\\{bad}", rf"\ud83d\ude00{bad}", rf"é\"{bad}\n"):
        with pytest.raises(InvalidValue) as refused:
            refuse_unstorable(f'{{"a": ["x", "{text}"], "b": "{text}"}}'.encode())
        assert refused.value.field == "a[1]"
        with pytest.raises(InvalidValue) as refused:
            refuse_unstorable(f'{{"a": {{"{text}": 1}}}}'.encode())
        assert refused.value.field == "a"


@pytest.mark.parametrize(
    "good", [r"\\u0000", r"\\\\ud800", r"\ud83d\ude00", r"\uD83D\uDE00", "\\u0001", r"\ue000", "🚀", "\\"]
)
def test_what_can_be_stored_is_let_through(good: str) -> None:
    refuse_unstorable(f'{{"a": "{good}{good}", "b": "{good} {good}"'.encode())


@pytest.mark.parametrize("text", [b"", b"\\", b'"', b'"\\', b"]]}}", b",:,:", b"[}{]", b'{"a":"\\u'])
def test_what_is_no_json_is_not_its_business(text: bytes) -> None:
    refuse_unstorable(text)
    field_at(text, len(text))


def test_deep_levels_are_not_all_remembered() -> None:
    assert field_at(b"[" * 10_000 + b'"x"', 10_001) == "[0]" * 69
