"""An example of each body, for the documentation. Each request here is accepted as it stands."""

from __future__ import annotations

from typing import Any

from notify import model
from notify.gateway.frames import Inbox
from notify.http import outside_shapes, replies, shapes, template_shapes

_CREATED = "2027-12-27T10:00:00Z"
_DUE = "2030-12-28T10:00:00Z"

_CONTENT: dict[str, Any] = {
    "type": "system",
    "priority": "normal",
    "title": "Coffee",
    "message": "It is ready",
    "data": {"cup": 1},
}
_PEOPLE: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "locale": "de-DE",
    "addresses": {"email": "ada@example.org"},
    "preferences": {"opt_out": [{"channel": "email", "type": "news"}], "quiet_hours": {"from": "22:00", "to": "7:00"}},
}
_SHOWN: dict[str, Any] = {
    "id": 1,
    "recipient": "ada",
    "batch_id": 1,
    **_CONTENT,
    "channels": ["inbox"],
    "reference": "order:42",
    "status": "pending",
    "scheduled_at": _DUE,
    "expires_at": None,
    "created_at": _CREATED,
    "seq": None,
    "sent_at": None,
    "read_at": None,
    "cancelled_at": None,
    "cancel_reason": None,
    "failed_at": None,
    "failure_reason": None,
}
_STREAMED: dict[str, Any] = {
    "id": 1,
    "recipient": "ada",
    "batch_id": 1,
    **_CONTENT,
    "reference": "order:42",
    "scheduled_at": _DUE,
    "sent_at": "2030-12-28T10:00:00.003Z",
    "created_at": _CREATED,
    "expires_at": None,
}

_TEMPLATE: dict[str, Any] = {
    "default_locale": "en",
    "locales": {
        "en": {
            "title": "Order {{ order.number }} is on its way",
            "message": "Hello {{ name }}, it has {{ order.items|length }} parcels.",
            "html": "<p>Hello {{ name }}, it has {{ order.items|length }} parcels.</p>",
        },
        "de": {
            "title": "Bestellung {{ order.number }} ist unterwegs",
            "message": "Hallo {{ name }}, es sind {{ order.items|length }} Pakete.",
        },
    },
}
_VERSION: dict[str, Any] = {"name": "order.shipped", "version": 2, "default_locale": "en", "created_at": _CREATED}
_ATTEMPT: dict[str, Any] = {
    "number": 1,
    "started_at": "2030-12-28T10:00:00.010Z",
    "finished_at": "2030-12-28T10:00:00.250Z",
    "outcome": "failed",
    "code": "smtp-550",
    "detail": "550 5.1.1 no such user",
}
_DELIVERY: dict[str, Any] = {
    "id": 1,
    "notification_id": 1,
    "batch_id": 1,
    "recipient": "ada",
    "channel": "email",
    "status": "failed",
    "due_at": _DUE,
    "attempts": 1,
    "sent_at": None,
    "failed_at": "2030-12-28T10:00:00.250Z",
    "code": "smtp-550",
    "error": "550 5.1.1 no such user",
    "held": None,
}
_RETRY: dict[str, Any] = {"delays": [60, 600, 3600], "max_age": 86400, "final": ["http-404"]}

OF: dict[Any, Any] = {
    shapes.ScheduleRequest: {
        "recipients": [1, "ada", {"id": "bob", "email": "bob@example.org"}],
        "title": "Coffee",
        "message": "It is ready",
        "scheduled_at": _DUE,
        "data": {"cup": 1},
        "reference": "order:42",
    },
    shapes.RescheduleRequest: {"scheduled_at": _DUE},
    shapes.RetryRequest: {"delay_minutes": 10},
    shapes.RecipientFields: _PEOPLE,
    shapes.RecipientsRequest: {"recipients": [{"id": "ada", **_PEOPLE}, {"id": 2, "locale": "en"}]},
    shapes.TokenRequest: {"ttl": 3600},
    shapes.ReadRequest: {"up_to_seq": 7},
    template_shapes.TemplateFields: _TEMPLATE,
    template_shapes.PreviewRequest: {
        "variables": {"name": "Ada", "order": {"number": 42, "items": ["cup", "saucer"]}},
        "locale": "de-AT",
        "template": _TEMPLATE,
    },
    template_shapes.StoredTemplate: {**_VERSION, **_TEMPLATE, "variables": ["name", "order"]},
    template_shapes.TemplatePage: {"items": [{**_VERSION, "locales": ["de", "en"]}], "next_cursor": None},
    template_shapes.Preview: {
        "locale": "de",
        "title": "Bestellung 42 ist unterwegs",
        "message": "Hallo Ada, es sind 2 Pakete.",
        "html": None,
    },
    outside_shapes.ReplayRequest: {"channel": "email", "code": "smtp-421", "failed_to": _CREATED},
    outside_shapes.BatchReplayRequest: {"limit": 1000},
    outside_shapes.ChannelChanges: {"paused": False, "rate": 50, "retry": _RETRY},
    outside_shapes.TypeChanges: {"required": False, "paused": False, "retry": None},
    outside_shapes.EnableRequest: {"channel": "email"},
    replies.Scheduled: {
        "notification_ids": [1, 2],
        "count": 2,
        "scheduled_at": _DUE,
        "batch_id": 1,
        "skipped": ["1"],
        "notifications": [{"id": 1, "recipient": "ada"}, {"id": 2, "recipient": "bob"}],
    },
    replies.CancelledOne: {"message": "Notification cancelled successfully", "notification_id": 1},
    replies.CancelledMany: {"cancelled": 2},
    replies.Shown: _SHOWN,
    replies.NotificationPage: {"items": [_SHOWN], "next_cursor": None},
    replies.Batch: {
        "id": 1,
        **_CONTENT,
        "channels": ["inbox"],
        "reference": "order:42",
        "scheduled_at": _DUE,
        "expires_at": None,
        "created_at": _CREATED,
        "count": 2,
        "counts": {"pending": 2, "sending": 0, "sent": 0, "cancelled": 0, "failed": 0},
        "deliveries": {"email": {"pending": 0, "leased": 0, "sent": 1, "failed": 1, "cancelled": 0}},
    },
    replies.Recipient: {
        "id": "ada",
        **_PEOPLE,
        "disabled": {"email": {"disabled_at": _CREATED, "reason": "550 5.1.1 no such user"}},
        "created_at": _CREATED,
        "updated_at": _CREATED,
    },
    replies.RecipientCounts: {"count": 2, "created": 1, "existing": 1},
    replies.Enabled: {"channel": "email", "enabled": True},
    replies.DeliveryPage: {"items": [_DELIVERY], "next_cursor": None},
    model.ShownDelivery: _DELIVERY | {"history": [_ATTEMPT]},
    model.DeliveryCount: {"channel": "email", "status": "failed", "code": "smtp-550", "deliveries": 7},
    model.Replayed: {"replayed": 7, "more": False},
    model.ChannelState: {
        "name": "email",
        "description": "Mail over SMTP.",
        "state": "open",
        "paused_at": None,
        "rests_until": None,
        "rate": 50,
        "retry": _RETRY,
    },
    model.TypeState: {"name": "news", "required": False, "paused_at": None, "retry": None},
    replies.Token: {"token": "eyJ…", "expires_at": "2027-12-27T11:00:00Z"},
    replies.Read: {"marked": 3, "unread": 0, "last_seq": 7},
    replies.Live: {"status": "live"},
    replies.Ready: {"status": "ready", "checks": {"database": "up", "listener": "up"}},
    Inbox: {
        "items": [{"seq": 7, "read_at": None, "notification": _STREAMED}],
        "last_seq": 7,
        "unread": 1,
        "epoch": "695e5e7b4f8c2a11-1-1",
    },
    model.ScheduleStatus: {
        "id": 1,
        "title": "Coffee",
        "scheduled_at": _DUE,
        "scheduled_status": "pending",
        "is_sent": False,
        "sent_at": None,
        "created_at": _CREATED,
        "cancel_reason": None,
        "failure_reason": None,
        "deliveries": [],
    },
}
