"""The reference's tasks. `python -m bench.yardsticks.reference.tasks` does what Beat does once a minute."""

from __future__ import annotations

import os

import django  # type: ignore[import-untyped]
import redis
from celery import Celery
from django.utils import timezone  # type: ignore[import-untyped]

REDIS_SOCKET = os.environ["REFERENCE_REDIS"]

# The names of tasks are said, as this module has another one where it is run itself.
django.setup()
app = Celery("reference", broker=f"redis+socket://{REDIS_SOCKET}")
app.conf.task_ignore_result = True
# By default Celery closes Django's connection before and after each task.
app.conf.CELERY_DB_REUSE_MAX = 100_000
_redis = redis.Redis(unix_socket_path=REDIS_SOCKET)


@app.task(name="process_scheduled_notifications")  # type: ignore[untyped-decorator]
def process_scheduled_notifications() -> int:
    """Enqueue a task for each notification that is due; how many those are. Says when it began, for the bench."""
    from bench.yardsticks.reference.models import Notification  # noqa: PLC0415 - needs django.setup() first

    now = timezone.now()
    _redis.set("polled_at", now.isoformat())
    due = Notification.objects.filter(scheduled_at__lte=now, scheduled_status="pending").values_list("pk", flat=True)
    for number in due:
        send_notification_task.delay(number)
    return len(due)


@app.task(name="send_notification_task", bind=True, max_retries=3, default_retry_delay=300)  # type: ignore[untyped-decorator]
def send_notification_task(self: object, number: int) -> None:
    """Mark it sent, and hand it to the websocket layer."""
    from bench.yardsticks.reference.models import Notification  # noqa: PLC0415 - needs django.setup() first

    found = Notification.objects.get(pk=number)
    if found.scheduled_status != "pending":
        return
    found.scheduled_status = "sent"
    found.is_sent = True
    found.sent_at = timezone.now()
    found.save(update_fields=["scheduled_status", "is_sent", "sent_at"])
    _redis.publish(f"recipient:{found.recipient}", f"{found.pk} {found.title}")


if __name__ == "__main__":
    process_scheduled_notifications.delay()
