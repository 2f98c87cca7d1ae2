"""docs/promises.md: each promise names tests that try to break it, and there are such tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TEXT = (_ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
_TEST = re.compile(r"`(tests/\w+/\w+\.py)::(\w+)`")
_PROMISES = re.findall(r"^## (\d+\. .*?)\n(.*?)(?=^## )", _TEXT, re.MULTILINE | re.DOTALL)


def test_there_are_twelve_promises() -> None:
    assert [title.partition(".")[0] for title, _ in _PROMISES] == [str(number) for number in range(1, 13)]


@pytest.mark.parametrize(("title", "body"), _PROMISES)
def test_each_promise_is_tested(title: str, body: str) -> None:
    named = _TEST.findall(body)
    assert named
    for file, name in named:
        tree = ast.parse((_ROOT / file).read_text(encoding="utf-8"))
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in there, f"{title}: {file}::{name}"
