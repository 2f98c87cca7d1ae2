"""The stack that notify replaces, as its own description has it: Django, Celery, Redis, and a poll for what is due.

settings.py, models.py   one table with `scheduled_at` and `scheduled_status`
views.py                 POST schedule, one insert through the ORM; served by gunicorn as `wsgi:application`
tasks.py                 the poll, and the task that it enqueues for each notification
"""

KEY = "ntf_bench_reference"
