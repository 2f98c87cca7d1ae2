"""POST schedule as a plain Django view: a row through the ORM for each recipient."""

from __future__ import annotations

import hmac
import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]
from django.utils.dateparse import parse_datetime  # type: ignore[import-untyped]
from django.views.decorators.http import require_POST  # type: ignore[import-untyped]

from bench.yardsticks.reference import KEY
from bench.yardsticks.reference.models import Notification


@require_POST  # type: ignore[untyped-decorator]
def schedule(request: HttpRequest) -> HttpResponse:
    """Insert the rows and answer their ids."""
    if not hmac.compare_digest(request.headers.get("Authorization", ""), f"Bearer {KEY}"):
        return JsonResponse({"detail": "not authorized"}, status=401)
    body: dict[str, Any] = json.loads(request.body)
    at = parse_datetime(body["scheduled_at"])
    rows = [
        Notification.objects.create(recipient=recipient, title=body["title"], message=body["message"], scheduled_at=at)
        for recipient in body["recipients"]
    ]
    answer = {"notification_ids": [row.pk for row in rows], "count": len(rows), "scheduled_at": at}
    return JsonResponse(answer, status=201)


urlpatterns = [path("api/notifications/schedule/", schedule)]
