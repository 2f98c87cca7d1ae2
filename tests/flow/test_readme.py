"""The README does what it says: its first screen is played with real processes, and so is what follows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.programs import Program, done, environment, home
from helpers.wait import until

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
PLAY = """\
$ pip install uv && uv run notify up
notify ready at http://127.0.0.1:8000     data: ./.notify (Postgres 18)
export NOTIFY_API_KEY=ntf_…               shown once; more: notify keys create
$ uv run notify listen ada                                   # second terminal
connected: ada  last_seq 0  unread 0
$ uv run notify send ada Coffee "It is ready" --at +5s       # third
#1 ada pending, due 12:00:05Z (in 5.0 s)
12:00:05.006  seq 1  #1  Coffee: It is ready   6 ms after due          # in the second terminal
$ uv run notify psql -c "begin" -c "select notify.schedule('{ada}','x','y',now()+'5s')" -c "rollback"    # nothing ever arrives
"""  # noqa: E501 - the play, to the letter


def _blocks(language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _block(language: str, part: str) -> str:
    (found,) = [block for block in _blocks(language) if part in block]
    return str(found)


def _arguments(line: str) -> list[str]:
    """What follows `notify` in a line of the play."""
    words = shlex.split(line, comments=True)
    return words[words.index("notify") + 1 :]


def _alike(line: str) -> str:
    """A line without what differs from run to run, and without the remark behind it."""
    line = re.sub(r"\d\d:\d\d:\d\d(\.\d{3})?", "<time>", line)
    line = re.sub(r"\d+ ms after due", "<lateness>", line)
    line = re.sub(r"ntf_\S+", "<key>", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "<address>", line)
    return re.sub(r" +", " ", re.sub(r"\s{2,}# .*", "", line)).strip()


def test_first_screen_is_the_play() -> None:
    assert _blocks()[0] == PLAY


def test_the_play() -> None:
    up, ready, key, listen, connected, send, pending, arrived, rollback = PLAY.splitlines()
    with home() as folder, Program(folder, *_arguments(up), port="0") as server:
        server.printed("^psql: ")
        assert [_alike(line) for line in server.out.splitlines()[:2]] == [_alike(ready), _alike(key)]
        with Program(folder, *_arguments(listen)) as listener:
            listener.printed("connected")
            assert _alike(listener.out) == _alike(connected)
            assert _alike(done(folder, *_arguments(send)).stdout) == _alike(pending)
            listener.printed("seq 1")
            assert _alike(listener.out.splitlines()[1]) == _alike(arrived)
            assert done(folder, *_arguments(rollback)).returncode == 0
            left = done(folder, "psql", "-XAt", "-c", "select count(*) from notify.notification")
            assert left.stdout == "1\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_what_follows_the_play() -> None:
    with home() as folder, Program(folder, "up", port="0") as server:
        url = server.ready()
        key = server.printed(r"NOTIFY_API_KEY=(\S+)").group(1)
        done(folder, "send", "ada", "Coffee", "It is ready")  # the play's, which is #1
        _curl(folder, url, key)
        _python(folder)
        look = _arguments(re.findall(r"^\$ (.*notify\.lateness.*)$", README, re.MULTILINE)[0])
        until(lambda: "(1 row)" in done(folder, *look).stdout)


def _curl(folder: Path, url: str, key: str) -> None:
    script = _block("", "curl -X DELETE").replace("http://localhost:8000", url).replace("curl ", "curl -sS ")
    env = environment(api_key=key)
    ran = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=True
    )
    assert '"notification_ids":[2]' in ran.stderr
    for part in ('"id":2,', '"scheduled_status":"pending"', "Notification cancelled successfully"):
        assert part in ran.stdout


def _python(folder: Path) -> None:
    script = _block("python", "NotificationScheduler")
    assert len([line for line in script.splitlines() if line]) == 6
    url = done(folder, "config", "--database-url").stdout.strip()
    done(folder, "psql", "-c", "create table orders (item text)", "-c", "select notify.upsert_recipient('ada')")
    env = environment() | {"DATABASE_URL": url}
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=env, timeout=120, check=True)
    counted = done(folder, "psql", "-XAt", "-c", "select (select count(*) from orders), title from notify.due")
    assert counted.stdout == "1|Order\n"
