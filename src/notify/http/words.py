"""What the fields of the documentation mean, by name: a field means the same wherever it stands.

A field that needs other words in one place has them beside its type, as `Meta(description=…)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF: Mapping[str, str] = {
    "addresses": "Where the recipient is reached, by channel.",
    "attempts": "How often it was tried.",
    "batch_id": "The schedule request that it belongs to.",
    "cancel_reason": "`requested`, `expired`, or `preferences`: its recipient wants it on none of its channels; null "
    "unless it is cancelled.",
    "cancelled": "How many were cancelled.",
    "cancelled_at": "When it was cancelled; null unless it is.",
    "channel": "The way it goes.",
    "channels": "Where it goes.",
    "checks": "What was looked at, and how it stands.",
    "code": "What the last failure was, as `smtp-550` or `http-503`; null: there was none.",
    "count": "How many there are.",
    "counts": "How many of its notifications have each status.",
    "created": "How many of them were new.",
    "created_at": "When it was made.",
    "data": "The application's own JSON object, as it was sent.",
    "deliveries": "Its deliveries on outside channels.",
    "default_locale": "For recipients of whom no locale is known, or one that the template has no texts for.",
    "description": "What it does.",
    "detail": "What its provider said; null: nothing.",
    "disabled_at": "Since when nothing is sent to it.",
    "due_at": "When it is tried next.",
    "enabled": "Whether there was anything to forget.",
    "epoch": "Names the history that seqs belong to: `EPOCH:SEQ` is a safe cursor.",
    "error": "What went wrong the last time; null: nothing.",
    "existing": "How many of them were registered already.",
    "expires_at": "From then on it does not hold: a notification is cancelled instead of sent. Null: never.",
    "failed": "How many failed.",
    "failed_at": "When it failed; null unless it did.",
    "failure_reason": "Why it failed; null unless it did.",
    "finished_at": "When it ended; of a worker that was lost, when that was found.",
    "held": "Its type, while that is paused; null: it goes when it is due.",
    "history": "Its attempts, the first one first.",
    "html": "The text for channels that show HTML; null: there is none.",
    "id": "Its id.",
    "is_sent": "Whether it was sent.",
    "items": "What the page has.",
    "last_seq": "The seq of the newest notification in the recipient's stream; 0: there is none.",
    "leased": "How many are being sent.",
    "locale": "A language tag such as `pt-BR`; null: none known.",
    "locales": "Texts by language tag.",
    "marked": "How many this call marked read.",
    "message": "The text.",
    "more": "Whether there may be others.",
    "name": "As callers write it.",
    "notification": "The notification as its recipient sees it.",
    "notification_id": "Which notification.",
    "number": "1, 2, 3, …",
    "outcome": "`sent`, `retry` where it was to be tried again, or `failed`.",
    "paused_at": "Since when it is paused; null: it is not.",
    "pending": "How many wait for their time.",
    "preferences": "What the recipient wants; all but `opt_out` and `quiet_hours` as the application defines it.",
    "priority": "Of what is due together, urgent leaves first.",
    "rate": "Most deliveries a second; null: no limit.",
    "read_at": "When the recipient marked it read; null: not yet.",
    "reason": "Why.",
    "recipient": "Who receives it.",
    "recipients": "Who receives it, or who is registered.",
    "reference": "The application's own key, to cancel by; null: none.",
    "replayed": "How many are due again.",
    "required": "Whether recipients cannot opt out of it.",
    "rests_until": "After outages: when it is tried again; null: it is not resting.",
    "retry": "Its part of the retry policy, as `{delays: [60, 600]}`; null: nothing of its own.",
    "scheduled_at": "When it is due.",
    "scheduled_status": "Where it stands.",
    "sending": "How many are on their way on outside channels.",
    "sent": "How many were sent.",
    "sent_at": "When it was sent; null: not yet.",
    "seq": "Its place in the recipient's stream: 1, 2, 3, … without a gap.",
    "started_at": "When it began.",
    "state": "`open`, `paused` by somebody, or `resting` after outages.",
    "status": "Where it stands.",
    "time_zone": "An IANA name such as `Europe/Berlin`; null: none known.",
    "title": "The headline.",
    "token": "Opens the recipient's own inbox and stream, and nothing else. It is stored nowhere.",
    "type": "The application's own word for what kind of notification this is.",
    "unread": "How many of the recipient's stream are not read.",
    "updated_at": "When it last changed.",
    "version": "Which version.",
}


def explain(schemas: Mapping[str, dict[str, Any]]) -> None:
    """Give each property of these schemas its words, where it has none. Raises KeyError for one that OF lacks."""
    for schema in schemas.values():
        for name, property in schema.get("properties", {}).items():
            if "description" not in property:
                property["description"] = OF[name]
