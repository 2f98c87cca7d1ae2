"""Recipients as callers write them: numbers, texts, or objects with what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notify.channels.addresses import check_addresses
from notify.http.bodies import check_depth
from notify.http.shapes import RecipientFields, RecipientInput
from notify.inputs import as_recipient


def ids_and_rows(given: Sequence[int | str | RecipientInput]) -> tuple[list[str], list[dict[str, Any]]]:
    """Every recipient's id as a text, and a row to register for each object.

    Raises InvalidValue naming the place, as `recipients[2]`.
    """
    ids: list[str] = []
    rows: list[dict[str, Any]] = []
    for index, recipient in enumerate(given):
        field = f"recipients[{index}]"
        if isinstance(recipient, RecipientInput):
            ids.append(as_recipient(recipient.id, f"{field}.id"))
            rows.append(row(ids[-1], recipient, f"{field}."))
        else:
            ids.append(as_recipient(recipient, field))
    return ids, rows


def row(id: str, fields: RecipientFields, prefix: str = "") -> dict[str, Any]:
    """What upsert_recipients takes of one recipient; only what was given."""
    addresses = fields.addresses
    check_addresses(f"{prefix}addresses.", addresses or {})
    if fields.email is not None:
        check_addresses(prefix, {"email": fields.email})
        addresses = {**(addresses or {}), "email": fields.email}
    known: Mapping[str, Any] = {
        "time_zone": fields.time_zone,
        "locale": fields.locale,
        "addresses": addresses,
        "preferences": fields.preferences,
    }
    for name in ("addresses", "preferences"):
        check_depth(prefix + name, known[name])
    return {"id": id, **{name: value for name, value in known.items() if value is not None}}
