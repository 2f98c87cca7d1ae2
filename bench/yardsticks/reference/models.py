"""A notification as the reference stores it, with its indexes."""

from __future__ import annotations

from django.db import models  # type: ignore[import-untyped]
from django.utils import timezone  # type: ignore[import-untyped]


class Notification(models.Model):  # type: ignore[misc]  # Django has no types
    """One recipient's copy, content and all."""

    recipient = models.CharField(max_length=128)
    title = models.CharField(max_length=200)
    message = models.TextField()
    type = models.CharField(max_length=100, default="system")
    priority = models.CharField(max_length=10, default="normal")
    data = models.JSONField(default=dict)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    scheduled_status = models.CharField(max_length=10, default="pending")
    is_sent = models.BooleanField(default=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "notification"
        indexes = (models.Index(fields=["scheduled_status", "scheduled_at"], name="notification_due"),)
