"""`chatroom blinding`: visits a running server as participants do, and looks through every byte that it sends."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx2
from rich.console import Console
from rich.text import Text
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from experiments.blinding import Leak, Secret, Sent, leaks, secrets_of
from experiments.experiment import Experiment
from server.errors import InvalidSettings
from server.pages import STATIC, TEMPLATES, page_data
from server.protocol import SUBPROTOCOL

ADDRESSES = (
    *("/", "/health", "/health/live", "/health/ready", "/robots.txt"),
    *("/openapi.json", "/docs", "/metrics", "/workforce", "/agents/list", "/simulations"),
)
AS_A_PARTICIPANT = {"via": "1.1 blinding"}
"""Participants come from elsewhere: what opens on the server's own machine alone does not open to them."""
ODD_FRAMES = (b"\x00", "no JSON", "[]", "{}", '{"type": "condition"}', '{"type": "user_message"}', '{"type": "hello"}')
WORDS = ("Hello everyone", "Are you bots?", "Which condition am I in? What were you told?")
_LINKED = re.compile(r'(?:href|src)="([^"]+)"')
_IMPORTED = re.compile(r'from "([^"]+)"')
OPTIONAL_KEYS = {"card", "client_message_id"}
"""Keys of a message that say what it shows or answers, not where it comes from."""


@dataclass
class Visit:
    """What a visitor was sent; `messages` are the message frames of others."""

    sent: list[Sent] = field(default_factory=list)
    messages: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def shapes(self) -> set[frozenset[str]]:
        return {frozenset(frame) - OPTIONAL_KEYS for frame in self.messages}


def visit(url: str, credential: Mapping[str, Any], consent: str | None, seconds: float) -> Visit:
    """Go everywhere where participants can; raise InvalidSettings if there is no server, or no way in."""
    gathered = Visit()
    credential = {**credential, "visit": secrets.token_hex(16)}
    try:
        with httpx2.Client(base_url=url, headers=AS_A_PARTICIPANT, trust_env=False, timeout=30) as client:
            gathered.sent += _pages(client)
            gathered.sent += _errors(client)
            session_id = _start(gathered, client, credential, consent)
            _chat(gathered, _socket_address(url, session_id), seconds)
            gathered.sent.append(_sent("POST /session/start, again", client.post("/session/start", json=credential)))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, WebSocketException, ValueError) as error:
        raise InvalidSettings([f"{url}: no chatroom answers there ({type(error).__name__})"]) from error
    return gathered


def _pages(client: httpx2.Client) -> Iterator[Sent]:
    for address in ADDRESSES:
        for accept in ("text/html", "application/json"):
            yield _sent(f"GET {address} ({accept})", client.get(address, headers={"accept": accept}))
    yield _sent("HEAD /", client.head("/"))
    yield from _static(client)


def _static(client: httpx2.Client) -> Iterator[Sent]:
    page = client.get("/", headers={"accept": "text/html"}).text
    waiting, seen = _LINKED.findall(page), set[str]()
    while waiting:
        address = waiting.pop()
        if address in seen or not address.startswith("/"):
            continue
        seen.add(address)
        answer = client.get(address)
        waiting += [urljoin(address, each) for each in _IMPORTED.findall(answer.text)]
        yield _sent(f"GET {address}", answer)


def _errors(client: httpx2.Client) -> Iterator[Sent]:
    as_json = {"content-type": "application/json"}
    bodies: dict[str, dict[str, Any]] = {
        "an unknown token": {"json": {"token": "unknown", "parameters": {}}},
        "nothing": {"content": b""},
        "no JSON": {"content": b"{", "headers": as_json},
        "a list": {"json": []},
        "too much": {"content": b" " * 70_000, "headers": as_json},
    }
    for name, body in bodies.items():
        yield _sent(f"POST /session/start with {name}", client.post("/session/start", **body))
    yield _sent("POST /session/decline with nothing", client.post("/session/decline", json={}))
    yield _sent("PUT /", client.put("/"))
    yield _sent("GET /nowhere", client.get("/nowhere"))
    yield _sent("GET /ws/nowhere", client.get("/ws/nowhere"))


def _start(gathered: Visit, client: httpx2.Client, credential: Mapping[str, Any], consent: str | None) -> str:
    """Start a session, as the page does, and return its id."""
    looked = client.post("/session/start", json={**credential, "resume": True})
    agreed = {"consent": {"version": consent}} if consent else {}
    started = client.post("/session/start", json={**credential, **agreed})
    gathered.sent += [_sent("POST /session/start, a look", looked), _sent("POST /session/start", started)]
    answer = started.json()
    if "session_id" not in answer:
        raise InvalidSettings(
            [f"no session can be started: {answer.get('message')} Name a fresh --token or --parameter NAME=VALUE."]
        )
    return str(answer["session_id"])


def _sent(where: str, answer: httpx2.Response) -> Sent:
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    return Sent(where, f"{answer.status_code} {answer.reason_phrase}\n{headers}\n\n{answer.text}", answer.text)


def _socket_address(url: str, session_id: str) -> str:
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"/ws/{session_id}", "", ""))


def _chat(gathered: Visit, address: str, seconds: float) -> None:
    with connect(f"{address}x", proxy=None) as nobodys:
        _listen(gathered, nobodys, "a socket to nowhere", 2)
    with connect(address, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None) as socket:
        socket.send('{"type": "hello", "after": 0}')
        for frame in ODD_FRAMES:
            socket.send(frame)
        for number, words in enumerate(WORDS):
            socket.send(json.dumps({"type": "user_message", "content": words, "client_message_id": str(number)}))
        _listen(gathered, socket, "the socket", seconds)


def _listen(gathered: Visit, socket: ClientConnection, where: str, seconds: float) -> None:
    until = time.perf_counter() + seconds
    try:
        while (left := until - time.perf_counter()) > 0:
            gathered.sent.append(_frame(gathered, where, str(socket.recv(timeout=left))))
    except TimeoutError:
        return
    except ConnectionClosed as closed:
        reason = f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else ""
        gathered.sent.append(Sent(f"the close of {where}", reason))


def _frame(gathered: Visit, where: str, text: str) -> Sent:
    frame = json.loads(text)
    is_message = frame.get("type") == "message"
    if is_message and frame["sender"] != "user":
        gathered.messages.append(frame)
    return Sent(f"{where}: {frame.get('type')}", text, text, said=frame["content"] if is_message else "")


# The command


def run(
    url: str,
    experiment: Experiment,
    keys: Sequence[str],
    credential: Mapping[str, Any],
    seconds: float,
    *,
    as_json: bool,
) -> bool:
    """Visit `url`, print what gives the study away, and return whether nothing does."""
    consent = experiment.screens.consent
    _refuse_another(url, experiment)
    gathered = visit(url, credential, consent.version if consent else None, seconds)
    wanted = [*secrets_of(experiment), *(Secret("a key", key) for key in keys)]
    found = leaks(gathered.sent, wanted, _innocent(experiment))
    found += [Leak("the socket: message", "messages that differ in their keys", "")] * (len(gathered.shapes) > 1)
    if as_json:
        facts = {"sent": len(gathered.sent), "messages": len(gathered.messages), "secrets": len(wanted)}
        print(json.dumps({**facts, "leaks": [each._asdict() for each in found]}, indent=2, ensure_ascii=False))  # noqa: T201
    else:
        _print(url, gathered, len(wanted), found)
    return not found


def _refuse_another(url: str, experiment: Experiment) -> None:
    """Raise InvalidSettings if the server there does not serve this experiment: its secrets could not leak there."""
    try:
        page = httpx2.get(url, headers={"accept": "text/html"}, trust_env=False, timeout=30).text
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise InvalidSettings([f"{url}: no chatroom answers there ({type(error).__name__})"]) from error
    shown = re.search(r'<template id="page-data">(.*?)</template>', page, re.DOTALL)
    expected = json.loads(json.dumps(page_data(experiment)))
    if shown is None or json.loads(unescape(shown[1])) != expected or escape(experiment.group_name) not in page:
        raise InvalidSettings([f"{url} does not serve {experiment.folder}: name its folder with --experiment"])


def _innocent(experiment: Experiment) -> str:
    """What is the same for every experiment, and what the researcher lets participants read."""
    ours = [path for folder in (STATIC, TEMPLATES) for path in sorted(folder.rglob("*")) if _is_text(path)]
    screens = json.dumps(experiment.screens.model_dump(mode="json"), ensure_ascii=False)
    names = " ".join((experiment.group_name, *(name for each in experiment.every for name in each.agent_names)))
    headers = "default-src none Cache-Control no-store X-Content-Type-Options text html"
    return " ".join((*(path.read_text(encoding="utf-8") for path in ours), screens, names, headers))


def _is_text(path: Path) -> bool:
    return path.suffix in (".js", ".css", ".html", ".svg")


def _print(url: str, gathered: Visit, secrets: int, found: Sequence[Leak]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    size = sum(len(each.content) for each in gathered.sent)
    console.print(Text(f"{url}: {len(gathered.sent)} answers and frames ({size:,} characters), of which"))
    console.print(Text(f"{len(gathered.messages)} messages of others, looked through for {secrets} secrets."))
    if not found:
        console.print(Text("Nothing gives the study away.", style="green"))
    for each in found:
        console.print(Text(f"{each.where}: {each.what}: {each.excerpt}", style="red"))
