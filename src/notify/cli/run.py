"""`notify up`, `api` and `worker`: the processes of the service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec
import structlog
from psycopg.conninfo import conninfo_to_dict

from notify.cli import children
from notify.cli.common import located, prepared, say
from notify.cli.keys import create_first_api_key
from notify.cli.patience import patiently, require_schema
from notify.cli.place import announced, held, reachable, url_of
from notify.config import Settings
from notify.http.app import create_app
from notify.postgres.connection import connect_sync
from notify.postgres.migrate import migrate
from notify.process import Stop, run, together, until_told
from notify.serve import bind, serve
from notify.worker import Worker

if TYPE_CHECKING:
    from notify.postgres.embedded import Embedded

_log = structlog.stdlib.get_logger("notify.run")
Command = TypeVar("Command", bound=Callable[..., Any])

# Together with what the parts get, less than the time after which the process ends itself.
_POSTGRES_STOP_SECONDS = 1.8
_WORKER_START_SECONDS = 3.0


def _address(command: Command) -> Command:
    """Adds --host and --port."""
    port = click.option("--port", type=click.IntRange(0, 65_535), help="TCP port; 0: any free one. Default 8000.")
    host = click.option("--host", help="Address to listen on. Default 127.0.0.1.")
    return host(port(command))


@click.command()
@_address
@click.option("--data-dir", help="Where the embedded Postgres keeps its data. Default ./.notify.")
def up(host: str | None, port: int | None, data_dir: str | None) -> None:
    """Everything in one process: Postgres, API, websockets and worker.

    Without NOTIFY_DATABASE_URL it runs a Postgres of its own in the data directory.
    """
    settings = prepared(host=host, port=port, data_dir=data_dir)
    with until_told() as stop, held(Path(settings.data_dir)):
        sockets = bind(settings.host, settings.port)
        with _database(settings) as (reachable_settings, server):
            patiently(lambda: migrate(str(reachable_settings.database_url)))
            run(stop, lambda: _everything(stop, reachable_settings, sockets, server))


@click.command()
@_address
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--fd", "descriptors", type=int, multiple=True, hidden=True)
def api(host: str | None, port: int | None, workers: int, descriptors: tuple[int, ...]) -> None:
    """Serve HTTP and websockets. Waits a minute for the database and its schema."""
    settings = located(prepared(host=host, port=port))
    with until_told() as stop:
        if descriptors:
            run(stop, lambda: _child(stop, settings, [socket.socket(fileno=number) for number in descriptors]))
            return
        sockets = bind(settings.host, settings.port)
        patiently(lambda: require_schema(str(settings.database_url)))
        ready = f"notify ready at {_url(settings, sockets)}"
        if workers > 1:
            run(stop, lambda: children.parent(stop, sockets, workers, lambda: say(ready)))
        else:
            run(stop, lambda: _api(stop, settings, sockets, lambda: say(ready)))


@click.command()
def worker() -> None:
    """Send what is due, and run the periodic tasks. Waits a minute for the database and its schema."""
    settings = located(prepared())
    with until_told() as stop:
        patiently(lambda: require_schema(str(settings.database_url)))
        _log.info("worker started")
        run(stop, lambda: together(stop, {"worker": Worker(settings).run()}))
        _log.info("worker stopped")


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[Settings, Embedded | None]]:
    """The settings with a database: the configured one, or that of an embedded server, which is stopped at the end,
    also when it was found running because `notify up` had been killed."""
    if settings.database_url is not None:
        yield settings, None
        return
    from notify.postgres import embedded  # noqa: PLC0415 - only with the extra [embedded]

    server = embedded.start(Path(settings.data_dir))
    try:
        yield msgspec.structs.replace(settings, database_url=server.dsn()), server
    finally:
        server.stop(_POSTGRES_STOP_SECONDS)
        if embedded.running(Path(settings.data_dir)) is not None:
            _log.warning("Postgres does not stop; the next notify up takes it over")


async def _everything(stop: Stop, settings: Settings, sockets: list[socket.socket], server: Embedded | None) -> None:
    service = Worker(settings)
    application = create_app(settings, worker_ready=lambda: service.healthy)
    with ExitStack() as until_end:

        async def ready() -> None:
            await _worker_ready(service)
            lines = await asyncio.to_thread(_welcome, settings, _url(settings, sockets), server is not None)
            here = url_of(reachable(settings.host), _port(sockets))
            until_end.enter_context(announced(Path(settings.data_dir), here))
            say(lines)

        parts = {"api": serve(application, sockets, ready), "worker": service.run()}
        if server is not None:
            from notify.cli import keeper  # noqa: PLC0415 - only with the extra [embedded]

            parts |= keeper.parts(server)
        await together(stop, parts)


async def _api(stop: Stop, settings: Settings, sockets: list[socket.socket], tell: Callable[[], None]) -> None:
    async def ready() -> None:
        tell()

    await together(stop, {"api": serve(create_app(settings), sockets, ready)})


async def _child(stop: Stop, settings: Settings, sockets: list[socket.socket]) -> None:
    children.stop_with_parent(stop)
    await _api(stop, settings, sockets, children.tell_parent)


async def _worker_ready(service: Worker) -> None:
    """Give it the moment it takes to connect; it keeps trying by itself if it takes longer."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + _WORKER_START_SECONDS
    while not service.healthy and loop.time() < ends:  # noqa: ASYNC110 - once in the life of a process
        await asyncio.sleep(0.01)


def _welcome(settings: Settings, url: str, own_server: bool) -> str:
    """What `up` prints once it serves; on the first run with an admin key, which is not shown again."""
    with connect_sync(settings, name="up") as connection:
        version = connection.info.server_version // 10_000
        key = None if settings.api_key else create_first_api_key(connection)
    data = _shown(settings.data_dir) if own_server else _database_name(str(settings.database_url))
    lines = [_columns(f"notify ready at {url}", f"data: {data} (Postgres {version})")]
    if key is not None:
        lines.append(_columns(f"export NOTIFY_API_KEY={key}", "shown once; more: notify keys create"))
    elif settings.api_key:
        lines.append("API key: the one in NOTIFY_API_KEY; more: notify keys create")
    else:
        lines.append("API keys: notify keys create")
    return "\n".join([*lines, "psql: notify psql"])


def _columns(left: str, right: str) -> str:
    return f"{left:<39}   {right}"


def _shown(data_dir: str) -> str:
    return data_dir if data_dir.startswith(("/", "./", "../", "~")) else f"./{data_dir}"


def _database_name(url: str) -> str:
    """A database as it may be shown: its name and its host."""
    given = conninfo_to_dict(url)
    return f"{given.get('dbname', 'default database')} at {given.get('host', 'this machine')}"


def _url(settings: Settings, sockets: list[socket.socket]) -> str:
    return url_of(settings.host, _port(sockets))


def _port(sockets: list[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port
