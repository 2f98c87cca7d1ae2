"""A message as a mail: what a reader of mail finds in its headers and parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.mail import message
from notify.channels.mime import BadHeader, compose, html_of, mailbox_of, sender_of
from notify.errors import InvalidValue

SENDER = sender_of("Lessons <lessons@example.org>")
LINK = "https://example.org/unsubscribe/abc.def"
# What can be stored in Postgres: no NUL, no lone surrogates.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
TITLES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=200)


def composed(*, redirect: str | None = None, unsubscribe: str | None = None, **changes: Any) -> bytes:
    return compose(message(**changes), SENDER, "ada@example.net", redirect=redirect, unsubscribe=unsubscribe).content


def read(content: bytes) -> EmailMessage:
    parsed = message_from_bytes(content, policy=default)
    assert isinstance(parsed, EmailMessage)
    assert [part.defects for part in parsed.walk()] == [[]] * len(list(parsed.walk()))
    return parsed


def part(mail: EmailMessage, subtype: str) -> str:
    found = mail.get_body((subtype,))
    assert found is not None
    content = found.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def test_the_headers() -> None:
    mail = read(composed())
    assert mail["From"] == "Lessons <lessons@example.org>"
    assert mail["To"] == "ada@example.net"
    assert mail["Subject"] == "A new lesson"
    assert mail["Message-ID"] == "<0f8fad5b-1@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["MIME-Version"] == "1.0"
    assert abs(parsedate_to_datetime(mail["Date"]) - datetime.now(UTC)) < timedelta(hours=1)
    assert {name for name in mail if name.startswith(("List-", "X-"))} == set()


def test_both_parts_hold_the_message_and_the_richer_comes_last() -> None:
    mail = read(composed())
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert part(mail, "plain") == "It begins at nine.\nBring paper."
    assert "<p>It begins at nine.<br>\nBring paper.</p>" in part(mail, "html")


def test_html_of_a_template_goes_as_it_is() -> None:
    html = "<h1>Grüße</h1>\r\n<p>" + "long " * 500 + "</p>"
    assert part(read(composed(html=html)), "html") == html.replace("\r\n", "\n")


def test_a_text_becomes_a_page_without_markup_of_its_own() -> None:
    page = html_of("\na < b & c\n \n\n<script>\nlast\n")
    assert "<p>a &lt; b &amp; c</p>\n<p>&lt;script&gt;<br>\nlast</p>" in page


@given(title=TITLES, text=TEXTS)
def test_any_title_and_text_arrive_as_they_were_in_lines_of_mail(title: str, text: str) -> None:
    content = composed(title=title, message=text)
    assert content.isascii()
    lines = content.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line or len(line) > 998 for line in lines)
    mail = read(content)
    assert " ".join(mail["Subject"].split()) == " ".join(title.split())
    assert part(mail, "plain") == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\ntext", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("Some words, and then a café.", "quoted-printable"),
        ("Привет, мир", "base64"),
        ("漢字", "base64"),
    ],
)
def test_a_text_is_encoded_no_more_than_it_needs(text: str, encoding: str) -> None:
    mail = read(composed(message=text))
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain["Content-Transfer-Encoding"] == encoding
    assert part(mail, "plain") == text


@pytest.mark.parametrize(
    "title",
    [
        "Grüße aus Zürich 🎉",
        "漢" * 200,
        "many words " * 18,
        "x" * 200,
        "=?utf-8?q?not_encoded?=",
        'commas, "quotes" <and> brackets: all; of @ them',
    ],
)
def test_a_title_is_a_subject_in_lines_of_mail(title: str) -> None:
    content = composed(title=title)
    assert read(content)["Subject"].rstrip() == title.rstrip()
    head = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert [line for line in head if len(line) > 78 and b" " in line.strip()[9:]] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Hello\r\nBcc: all@example.net"},
        {"title": "Hello\nworld"},
        {"title": "Hello\rworld"},
        {"title": "Hello\x00"},
        {"title": "Hello\x7f"},
        {"title": "Hello\x85world"},
        {"title": "Hello\u2028world"},
        {"title": "Hello\ud800"},
        {"stable_id": "1\r\nBcc: all@example.net"},
        {"stable_id": "a b"},
        {"stable_id": "a>"},
        {"unsubscribe": "https://example.org/\r\nBcc: all@example.net"},
        {"unsubscribe": "https://example.org/>, <https://other.example.org/"},
    ],
    ids=str,
)
def test_what_would_break_out_of_a_header_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadHeader, match="characters"):
        composed(**changes)


def test_a_link_to_unsubscribe_with_one_click() -> None:
    mail = read(composed(unsubscribe=LINK))
    assert mail["List-Unsubscribe"] == f"<{LINK}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_redirected_mail_tells_whom_it_was_for() -> None:
    letter = compose(message(), SENDER, "ada@example.net", redirect="staging@example.org", unsubscribe=None)
    mail = read(letter.content)
    assert letter.recipient == mail["To"] == "staging@example.org"
    assert mail["X-Notify-To"] == "ada@example.net"


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("ada@example.net", "ada@example.net"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ädä@bücher.example", "ädä@xn--bcher-kva.example"),
        # By the older standard it would be another's: strasse.example.
        ("ada@straße.example", "ada@straße.example"),
        ("ada@" + "ü" * 80 + ".example", "ada@" + "ü" * 80 + ".example"),
    ],
)
def test_a_domain_is_written_in_ascii_where_that_is_the_same_one(address: str, mailbox: str) -> None:
    assert mailbox_of(address) == mailbox


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("lessons@example.org", "lessons@example.org", "lessons@example.org"),
        ("Lessons <lessons@example.org>", "lessons@example.org", "Lessons <lessons@example.org>"),
        ('"Lessons, Ltd" <lessons@example.org>', "lessons@example.org", '"Lessons, Ltd" <lessons@example.org>'),
        ("Schüler <info@bücher.example>", "info@xn--bcher-kva.example", "Schüler <info@xn--bcher-kva.example>"),
    ],
)
def test_a_sender(text: str, address: str, shown: str) -> None:
    sender = sender_of(text)
    assert sender.address == address
    assert sender.header.isascii()
    content = compose(message(), sender, "ada@example.net", redirect=None, unsubscribe=None).content
    assert read(content)["From"] == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Lessons",
        "Lessons <>",
        "Lessons, Ltd <lessons@example.org>",
        "a@example.org, b@example.org",
        "lessons@",
        "ädä@example.org",
        "Lessons\r\nBcc: all@example.net <lessons@example.org>",
    ],
)
def test_what_is_no_sender_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        sender_of(text)
