"""A notification as a job of its own, as one would write it with Procrastinate alone.

PROCRASTINATE_DATABASE=… python -m bench.yardsticks.procrastinate_jobs
"""

from __future__ import annotations

import asyncio
import logging
import os

from procrastinate import App, PsycopgConnector
from procrastinate.connector import BaseConnector

TABLE = "create table notification (id bigint primary key, sent_at timestamptz)"
TASK = "send"
CONCURRENCY = 10
_POLL_SECONDS = 0.5
_SEND = "update notification set sent_at = clock_timestamp() where id = %(number)s"


def application(connector: BaseConnector) -> App:
    """An app with the one task."""
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    app = App(connector=connector)

    @app.task(name=TASK)
    async def send(number: int) -> None:
        await app.connector.execute_query_async(_SEND, number=number)

    return app


async def _work() -> None:
    connector = PsycopgConnector(
        conninfo=os.environ["PROCRASTINATE_DATABASE"], min_size=CONCURRENCY, max_size=CONCURRENCY + 2
    )
    async with application(connector).open_async() as app:
        await app.run_worker_async(concurrency=CONCURRENCY, fetch_job_polling_interval=_POLL_SECONDS)


if __name__ == "__main__":
    asyncio.run(_work())
