"""docs/channels.md: its receiver of webhooks takes what is sent, and its table has every code that a channel gives."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from notify.channels.confined import UNCONFINED
from notify.channels.webhook import signed_headers

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "channels.md").read_text(encoding="utf-8")
SECRETS = ("whsec_" + "A" * 32, "whsec_" + "B" * 32)


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_receiver_takes_what_is_signed_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", section("Webhook"), re.MULTILINE | re.DOTALL)
    there: dict[str, Any] = {}
    exec(code, there)
    body = json.dumps({"type": "system", "data": {"title": "Lesson"}}).encode()
    for secret in (*SECRETS, SECRETS[0]):
        there["receive"](signed_headers("ntf-1-7", body, SECRETS), body, secret)
    assert capsys.readouterr().out == "system Lesson\n"
    with pytest.raises(WebhookVerificationError):
        there["receive"](signed_headers("ntf-1-8", body, SECRETS[:1]), body, SECRETS[1])


def test_every_code_stands_in_the_table() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/notify/channels").glob("*.py"))
    codes = set(re.findall(r"\b(?:retry|final|Down)\(\s*\"([a-z0-9-]+)\"", source))
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in section("Outcomes and codes")} == set()


def test_the_schemes_that_are_never_allowed_stand_there() -> None:
    assert f"`{'`, `'.join(sorted(UNCONFINED))}`" in section("Apprise")
