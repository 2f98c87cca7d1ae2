"""Scheduled notifications in the Postgres you already have.

A map, to be read from top to bottom:

  cli/            the commands; serve.py and process.py run what they start
  http/           the API: app.py puts it together, one module a group of calls
  gateway/        websockets: signals come in, frames go out, holes are filled from rows
  worker.py       ticker, sweep and jobs, supervised
  jobs.py         the Procrastinate app and its tasks
  outside.py      the couriers of a worker, and what wakes them; courier.py sends on one channel,
                  delivery.py leases and records, retry.py says when to try again
  channels/       protocol.py, and one module a channel
  upkeep.py       sweep, rescue, retention
  dispatch.py     the ticker, and draining until nothing is left
  drain.py        one chunk; faults.py: what to do when one fails
  scheduler.py    the Python client; arguments.py and inputs.py check what it is given,
                  link.py is its own connection, joined.py and unwrap.py the caller's
  calls.py        every call of an application, as data; control.py: those of operators
  access.py       API keys and recipient tokens; gatekeeper.py checks them
  postgres/       connections, statements from sql/, migrations, the embedded server
  environment.py  reads and shows the settings, whose struct is config.py
  model.py errors.py cursor.py supervise.py places.py   leaves

What happens inside the database stands in sql/: start with sql/migrations/0001_tables.sql.
"""

from notify.errors import InvalidValue, NotFound, NotifyError, PastTime, Unavailable, UnknownRecipients
from notify.scheduler import AsyncNotificationScheduler, NotificationScheduler

__all__ = [
    "AsyncNotificationScheduler",
    "InvalidValue",
    "NotFound",
    "NotificationScheduler",
    "NotifyError",
    "PastTime",
    "Unavailable",
    "UnknownRecipients",
]
