"""The server as people start it: a process, its banner, its errors, its end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from pathlib import Path

import httpx2
import pytest
from folders import write_settings
from participants import ours, plain
from servers import Process, Server, run_command

from experiments.eventlog.reader import read_records
from simulation.events import SessionEnded

SERVE = ("-m", "server", "--port", "0", "--experiment", "config")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_settings(tmp_path / "config", timing={"scale": 0}, user_response_probability=1)
    return tmp_path


def port_in(banner: str) -> int:
    return int(re.findall(r"http://127\.0\.0\.1:(\d+)/", banner)[0])


def test_the_banner_says_what_a_researcher_wants_to_know(folder: Path):
    with Process(*SERVE, folder=folder) as server:
        banner = server.read_until("Ctrl+C")
        for part in (
            "5 agents, 6 messages a minute, 15 minutes",
            "scripted: demo replies (neighbourhood); no API key is set",
            "token 1234",
            "logs/",
            "every message is on disk before it is shown",
        ):
            assert part in banner
        assert port_in(banner) > 0
        assert server.stop() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_tells_its_clients_and_ends_nobody(folder: Path, how: signal.Signals):
    with Process(*SERVE, folder=folder) as process:
        server = Server(port_in(process.read_until("Ctrl+C")), folder / "logs")
        async with ours(server) as one, plain(server) as two:
            await one.posts("hello")
            await one.expects_echo("hello")
            await two.posts("hello")
            await two.next_frame()
            async with asyncio.TaskGroup() as tasks:
                stopped = tasks.create_task(asyncio.to_thread(process.stop, how))
                codes = [await participant.reads_until_closed() for participant in (one, two)]
        assert codes == [1012, 1012]
        assert stopped.result() in (0, 130, -how)
        assert "Traceback" not in process.output
    for participant in (one, two):
        records = list(read_records(folder / "logs" / f"{participant.session_id}.json"))
        assert not any(isinstance(record.event, SessionEnded) for record in records)


async def test_the_server_log_holds_no_text_no_address_and_no_whole_session_id(folder: Path):
    with Process(*SERVE, folder=folder, environment={"LOG_LEVEL": "DEBUG"}) as process:
        server = Server(port_in(process.read_until("Ctrl+C")), folder / "logs")
        async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
            await client.get("/?token=secret-token", headers={"accept": "text/html"})
        async with ours(server) as participant:
            await participant.posts("a very private remark")
            await participant.expects_echo("a very private remark")
        process.stop()
    for secret in ("private remark", participant.session_id, "secret-token"):
        assert secret not in process.output
    assert participant.session_id[:8] in process.output


async def test_uvicorns_own_command_works_and_logs_no_session_id_and_no_address(folder: Path):
    command = ("-m", "uvicorn", "server.app:app", "--port", "0")
    with Process(*command, folder=folder) as process:
        server = Server(
            port_in(process.read_until("running on").replace("0 (", "0/ (").replace(" (", "/ (")), folder / "logs"
        )
        async with ours(server) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
            await participant.posts("x" * 65 * 1024)
            assert await participant.reads_until_closed() == 1009
        process.stop()
    assert participant.session_id not in process.output
    assert '"POST /session/start HTTP/1.1" 200' in process.output
    assert not re.findall(r"127\.0\.0\.1:\d+ - ", process.output)


async def test_json_logs_are_json(folder: Path):
    with Process(*SERVE, folder=folder, environment={"JSON_LOGS": "true"}) as process:
        server = Server(port_in(process.read_until("Ctrl+C")), folder / "logs")
        async with ours(server):
            pass
        process.stop()
    lines = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    assert {"timestamp", "level", "logger", "message"} == set(lines[0])
    assert any("started" in line["message"] for line in lines)


REFUSED = {
    "a rate too high": ({}, {"messages_per_minute": 1000}, (), "messages_per_minute: 1000 is not allowed"),
    "an unknown key": ({}, {"colour": 1}, (), "colour: unknown key"),
    "a port that is none": ({"PORT": "99999"}, {}, (), "PORT: '99999' is not allowed"),
    "a sync that is none": ({"LOG_SYNC": "never"}, {}, (), "LOG_SYNC: 'never' is not allowed"),
    "an unknown provider": (
        {"LLM_PROVIDER": "oracle"},
        {},
        (),
        "LLM_PROVIDER: 'oracle' is not allowed: one of scripted",
    ),
    "a log folder that is a file": ({"LOG_DIR": "config/simulation_settings.json"}, {}, (), "LOG_DIR: "),
    "the world without a key": ({}, {}, ("--host", "0.0.0.0"), "RESEARCHER_KEY"),
    "the world with the demo token": (
        {"RESEARCHER_KEY": "long enough"},
        {},
        ("--host", "0.0.0.0"),
        "--allow-demo",
    ),
    "an address that is not ours": ({}, {}, ("--host", "203.0.113.7", "--allow-demo"), "RESEARCHER_KEY"),
    "an address that is none": (
        {"RESEARCHER_KEY": "long enough"},
        {},
        ("--host", "a..b", "--allow-demo"),
        "HOST: 'a..b' is no address",
    ),
    "several workers": ({}, {}, ("--workers", "4"), "shared database"),
    "a folder that is missing": ({}, {}, ("--experiment", "nowhere"), "the file is missing"),
    "a folder that cannot be": ({}, {}, ("--experiment", "x" * 5000), "File name too long"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_and_nothing_is_started(tmp_path: Path, name: str):
    environment, changes, flags, message = REFUSED[name]
    write_settings(tmp_path / "config", **changes)
    done = run_command("-m", "server", *flags, folder=tmp_path, environment={"PORT": "0", **environment})
    assert done.returncode == 2
    assert message in done.stderr
    assert "nothing was started" in done.stderr
    assert "Traceback" not in done.stderr
    assert "long enough" not in done.stderr


def test_uvicorns_own_command_says_what_is_wrong_too(tmp_path: Path):
    write_settings(tmp_path / "config", num_agents=3)
    done = run_command("-m", "uvicorn", "server.app:app", "--port", "0", folder=tmp_path)
    assert done.returncode == 2
    assert "num_agents: 3 is not allowed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named_with_the_cure(folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command("-m", "server", "--port", str(port), folder=folder)
    assert done.returncode == 2
    assert f"{port} is in use by another program. Try --port {port + 1}." in done.stderr


def test_flags_win_over_the_environment_and_the_environment_over_dotenv(folder: Path):
    (folder / ".env").write_text("LOG_DIR=from_dotenv\nLOG_SYNC=os\nSOMETHING_ELSE=1\n")
    with Process(*SERVE, folder=folder) as server:
        assert "from_dotenv/" in server.read_until("Ctrl+C")
        assert "LOG_SYNC=os" in server.output
    with Process(*SERVE, folder=folder, environment={"LOG_DIR": "from_environment"}) as server:
        assert "from_environment/" in server.read_until("Ctrl+C")
    with Process(*SERVE, "--log-dir", "flag", folder=folder, environment={"LOG_DIR": "environment"}) as server:
        assert "flag/" in server.read_until("Ctrl+C")


def test_a_rate_that_cannot_be_kept_is_warned_of_at_start(tmp_path: Path):
    write_settings(tmp_path / "config", messages_per_minute=200)
    with Process(*SERVE, folder=tmp_path) as server:
        assert "200 is more than 5 agents can keep up with" in server.read_until("Ctrl+C")


def test_started_elsewhere_it_serves_the_settings_it_comes_with(tmp_path: Path):
    with Process("-m", "server", "--port", "0", folder=tmp_path) as server:
        assert "5 agents" in server.read_until("Ctrl+C")


def test_no_provider_sdk_is_imported_without_need(tmp_path: Path):
    code = "import server.serving, sys; print(sorted({'google.genai', 'groq', 'httpx'} & set(sys.modules)))"
    assert run_command("-c", code, folder=tmp_path).stdout.strip() == "[]"
