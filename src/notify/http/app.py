"""The composition root: the only place that knows all parts of the API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from importlib.metadata import version

import msgspec
import structlog
from litestar import Litestar, Response
from litestar.config.cors import CORSConfig
from litestar.handlers import HTTPRouteHandler

from notify import environment
from notify.config import Settings
from notify.gatekeeper import Gatekeeper
from notify.gateway import Gateway, websocket_routes
from notify.http import (
    batches,
    channels,
    deliveries,
    health,
    inbox,
    listing,
    notifications,
    openapi,
    problems,
    recipients,
    schedule,
    templates,
    unsubscribe,
)
from notify.http.auth import gate
from notify.http.front import Front
from notify.http.metrics import Metrics
from notify.http.ratelimit import RateLimit
from notify.http.readiness import Readiness
from notify.http.routes import Answer, Doc, HttpRequest, route
from notify.http.services import Services
from notify.http.shares import Shares
from notify.http.together import Together
from notify.postgres.pool import open_pool

log = structlog.get_logger("notify.http")

_LOCK_SECONDS = 1.0
_IDLE_SECONDS = 5.0

_HANDLERS: list[HTTPRouteHandler] = [
    schedule.schedule,
    notifications.get_notification,
    notifications.get_schedule_status,
    notifications.cancel_scheduled,
    notifications.cancel_by_reference,
    notifications.reschedule,
    notifications.send,
    notifications.retry,
    listing.list_notifications,
    batches.show_batch,
    batches.cancel_batch,
    batches.replay_batch,
    deliveries.list_deliveries,
    deliveries.count_deliveries,
    deliveries.get_delivery,
    deliveries.replay_delivery,
    deliveries.replay_deliveries,
    channels.list_channels,
    channels.change_channel,
    channels.list_types,
    channels.get_type,
    channels.change_type,
    recipients.put_recipient,
    recipients.show_recipient,
    recipients.delete_recipient,
    recipients.post_recipients,
    recipients.enable_address,
    recipients.post_token,
    templates.put_template_version,
    templates.show_template,
    templates.list_all_templates,
    templates.delete_all_versions,
    templates.preview_template,
    inbox.get_inbox,
    inbox.post_read,
    unsubscribe.show_unsubscribe,
    unsubscribe.unsubscribe,
    health.live,
    health.ready,
    health.get_metrics,
]


def create_app(settings: Settings | None = None, *, worker_ready: Callable[[], bool] | None = None) -> Litestar:
    """The API with its gateway. It starts, and says that it is not ready, while the database is away.

    `worker_ready` tells whether the worker of the same process works; without it there is none in this process.
    """
    settings = settings or environment.load()
    measured = Metrics()

    @contextlib.asynccontextmanager
    async def serving(app: Litestar) -> AsyncIterator[None]:
        async with _services(app, settings, measured, worker_ready) as made:
            app.state.services = made
            yield

    handlers = [*_HANDLERS, _schema_route(_HANDLERS)]
    app = Litestar(
        route_handlers=[*_option_routes(handlers), *handlers],
        before_request=gate,
        exception_handlers=problems.HANDLERS,
        lifespan=[serving],
        request_max_body_size=settings.max_body_bytes,
        cors_config=_cors(settings),
        openapi_config=None,
        logging_config=None,
    )
    app.state.settings = settings  # the server reads its limits there
    app.asgi_handler = Front(app.asgi_handler, measured)
    return app


@contextlib.asynccontextmanager
async def _services(
    app: Litestar, settings: Settings, measured: Metrics, worker_ready: Callable[[], bool] | None
) -> AsyncIterator[Services]:
    async with contextlib.AsyncExitStack() as stack:
        pool = await open_pool(_impatient(settings), name="api", wait=False)
        stack.push_async_callback(pool.close)
        # Requests that wait for locks may fill their pool; sockets, keys and probes do not wait in that line.
        quick = await open_pool(_few(settings), name="gateway", wait=False)
        stack.push_async_callback(quick.close)
        readiness = Readiness(quick)
        stack.push_async_callback(readiness.close)
        gatekeeper = Gatekeeper(settings, quick)
        gateway = Gateway(settings, quick, gatekeeper)
        # The gateway needs the pool, and the pool a running loop: so its routes come last.
        for handler in websocket_routes(gateway):
            app.register(handler)
        stack.push_async_callback(gateway.close)
        await stack.enter_async_context(_running(gateway))
        yield Services(
            settings=settings,
            pool=pool,
            shares=Shares(pool, settings.connect_timeout),
            together=Together(pool),
            rate_limit=RateLimit(settings.rate_limit),
            gatekeeper=gatekeeper,
            gateway=gateway,
            metrics=measured,
            readiness=readiness,
            worker_ready=worker_ready,
        )


def _impatient(settings: Settings) -> Settings:
    """A request that waits for a lock holds a connection that others need: soon it is told to come again instead. And
    a process that stops, or whose link freezes, in the middle of a request keeps its locks from others not for long."""
    return msgspec.structs.replace(
        settings,
        lock_timeout=min(settings.lock_timeout or _LOCK_SECONDS, _LOCK_SECONDS),
        idle_in_transaction_timeout=min(settings.idle_in_transaction_timeout or _IDLE_SECONDS, _IDLE_SECONDS),
    )


def _few(settings: Settings) -> Settings:
    most = settings.gateway_pool_max
    return msgspec.structs.replace(settings, pool_min=min(settings.pool_min, most), pool_max=most)


@contextlib.asynccontextmanager
async def _running(gateway: Gateway) -> AsyncIterator[None]:
    """The gateway's background part, for as long as the process serves. Should it end, readiness says so."""
    task = asyncio.create_task(gateway.run(), name="gateway")
    task.add_done_callback(_ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("gateway_ended", exc_info=task.exception())


def _cors(settings: Settings) -> CORSConfig | None:
    """Browsers of the allowed origins may call; of others none, and not with cookies, as there are none."""
    origins = [origin.strip() for origin in settings.allowed_origins.split(",") if origin.strip()]
    if not origins:
        return None
    return CORSConfig(
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
        expose_headers=["Idempotency-Replayed", "Retry-After", "RateLimit", "RateLimit-Policy"],
    )


def _option_routes(handlers: Iterable[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """OPTIONS of each path, as the framework's own tell only the first method that was registered."""
    methods: dict[str, list[str]] = {}
    for handler in handlers:
        doc: Doc = handler.opt["doc"]
        allowed = methods.setdefault(doc.path, ["OPTIONS"])
        allowed += ["GET", "HEAD"] if doc.method == "GET" else [doc.method]
    return [_options(path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _options(path: str, allow: str) -> HTTPRouteHandler:
    async def tell() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allow})

    return HTTPRouteHandler(path, http_method="OPTIONS", status_code=204)(tell)


def _schema_route(handlers: Iterable[HTTPRouteHandler]) -> HTTPRouteHandler:
    @route("GET", "/schema/openapi.json", access="public", tag="health", answers={200: dict})
    async def get_schema(request: HttpRequest) -> Answer:
        """Get this document."""
        return Answer(200, document)

    docs: list[Doc] = [handler.opt["doc"] for handler in (*handlers, get_schema)]
    document = msgspec.json.encode(openapi.build(docs, version("notify-postgres")))
    return get_schema
