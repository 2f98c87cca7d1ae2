"""The worker: ticker, sweep and Procrastinate's worker, each supervised, none of them needed by the others.

Procrastinate's worker ends without an error when its database does; here it is started again like everything else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import msgspec

from notify.channels.protocol import Channel, Message
from notify.channels.unsubscribe import new_token, url_of
from notify.config import Settings
from notify.delivery import Identity
from notify.dispatch import Ticker
from notify.garbage import collect_seldom
from notify.jobs import DISPATCH_QUEUE, TASKS_QUEUE, Runtime, make_app
from notify.outside import Outside
from notify.postgres.connection import here
from notify.postgres.pool import open_pool
from notify.supervise import supervise

# Dispatch jobs return at once; the others are few.
_CONCURRENCY = 4
# The rest of the time that a process has to stop in is for what comes after.
_GRACEFUL_SECONDS = 3.0
# Much less than the silence after which notify doctor counts a worker no more.
_PRESENT_SECONDS = 15.0


class Worker:
    """Everything that sends. Several may run at once, in one process or in many."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._outside = Outside(settings, self._make_channels)
        self._ticker = Ticker(settings, self._outside.expect)

    @property
    def healthy(self) -> bool:
        """Whether the ticker has looked lately; always true where it is switched off."""
        return self._ticker.alive or not self._settings.ticker_enabled

    async def run(self) -> None:
        """Work until cancelled, through outages of Postgres of any length. Raises ConfigError where a channel is set up
        wrongly: then nothing is sent at all, rather than all but that."""
        self._make_channels(Identity(installation="", unsubscribe_key=""))
        collect_seldom()
        # By this name, of which a worker always has a session, notify doctor counts workers.
        settings = msgspec.structs.replace(self._settings, pool_min=max(1, self._settings.pool_min))
        pool = await open_pool(settings, name=f"worker {here()}:{os.getpid()}", wait=False)
        runtime = Runtime(self._settings, pool, self._ticker, self._outside)
        try:
            async with asyncio.TaskGroup() as group:
                for name, run in self._duties(runtime):
                    group.create_task(supervise(name, run), name=name)
        finally:
            await pool.close(timeout=1)

    def _duties(self, runtime: Runtime) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        duties: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("presence", lambda: self._show(runtime)),
            ("outside", lambda: self._outside.run(runtime.pool)),
        ]
        if self._settings.ticker_enabled:
            duties += [("ticker", self._ticker.run), ("sweep", lambda: self._sweep(runtime))]
        if self._settings.jobs_enabled:
            duties.append(("jobs", lambda: self._work(runtime)))
        return duties

    def _make_channels(self, identity: Identity) -> list[Channel]:
        # Only here: what sends is large, and the API does without.
        from notify.channels import registry  # noqa: PLC0415

        def unsubscribe_url(message: Message) -> str | None:
            if self._settings.public_url is None or message.required:
                return None
            token = new_token(identity.unsubscribe_key, message.recipient, "email", message.type)
            return url_of(self._settings.public_url, token)

        return registry.build(self._settings, unsubscribe_url)

    async def _show(self, runtime: Runtime) -> None:
        """Use a session now and then, so that one that hangs can be told from one that others leave without tasks."""
        while True:
            async with runtime.pool.connection() as connection:
                await connection.execute("")
            await asyncio.sleep(_PRESENT_SECONDS)

    async def _sweep(self, runtime: Runtime) -> None:
        while True:
            await runtime.sweep()
            await asyncio.sleep(self._settings.sweep_seconds)

    async def _work(self, runtime: Runtime) -> None:
        async with make_app(self._settings).open_async() as app:
            await app.run_worker_async(
                queues=[DISPATCH_QUEUE, TASKS_QUEUE],
                name="notify",
                concurrency=_CONCURRENCY,
                fetch_job_polling_interval=self._settings.job_poll_seconds,
                shutdown_graceful_timeout=_GRACEFUL_SECONDS,
                delete_jobs="always",
                additional_context={"runtime": runtime},
                install_signal_handlers=False,
            )
