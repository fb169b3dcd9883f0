"""Visits to the participant page: a tab of its own on a real server, from the link to the end, and the line to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from playwright.async_api import Browser, Locator, Page, WebSocketRoute, expect
from servers import Server

from simulation.events import MessagePosted

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
    "locale": "en-GB",
}
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
PANEL_SITE = "https://panel.example"
REFUSED = re.compile(r"status of (401|403|404|409|422|429|503)|ERR_INTERNET_DISCONNECTED|^WebSocket connection to")
"""What a browser's console says of answers that are no faults: a look that finds nothing, an end that is told, a line
that is cut."""
NOT_SENT = "Not sent. Tap to try again"
Frame = dict[str, Any]
Passes = Callable[[Frame, WebSocketRoute], bool]


class Visit:
    """What a participant does and sees in one tab."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server

    async def another_tab(self) -> Visit:
        """Open a tab beside this one: the same browser, the same storage."""
        return Visit(await self.page.context.new_page(), self.server)

    async def opens(self, query: str = "") -> None:
        await self.page.goto(f"{self.server.http}/{query}")

    async def is_at(self, title: str) -> None:
        """Wait for a screen, whose heading is read out first."""
        heading = self.page.get_by_role("heading", name=title, level=1)
        await expect(heading).to_be_visible(timeout=15_000)
        await expect(heading).to_be_focused()

    async def presses(self, label: str) -> None:
        await self.button(label).click()

    async def types_code(self, code: str) -> None:
        await self.page.get_by_label("Access code").fill(code)
        await self.page.keyboard.press("Enter")

    async def is_in_the_chat(self) -> None:
        await expect(self.page.locator("#room")).to_be_visible()

    async def writes(self, content: str) -> None:
        await self.page.get_by_role("textbox", name="Message").fill(content)
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator(".message.own", has_text=content)).to_be_visible()

    def own(self, content: str) -> Locator:
        """A message of the participant's."""
        exactly = re.compile(f"^{re.escape(content)}$")
        return self.page.locator(".message.own", has=self.page.locator(".content", has_text=exactly))

    async def is_sending(self, *contents: str) -> None:
        for content in contents:
            await expect(self.own(content).get_by_role("img", name="Sending", exact=True)).to_be_visible()

    async def is_sent(self, *contents: str) -> None:
        for content in contents:
            sent = self.own(content).get_by_role("img", name="Sent", exact=True)
            await expect(sent).to_be_visible(timeout=15_000)

    async def is_not_sent(self, content: str) -> None:
        await expect(self.own(content).get_by_role("button", name=NOT_SENT)).to_be_visible()

    async def contents(self) -> list[str]:
        """What is written in the room, from top to bottom."""
        return await self.page.locator(".message:not(.typing) .content").all_inner_texts()

    async def stored(self) -> dict[str, Any]:
        """What the page has put where a closed tab leaves it."""
        return {key: json.loads(value) for key, value in (await self.page.evaluate("({ ...localStorage })")).items()}

    def posted(self) -> list[MessagePosted]:
        """What has been said in the only session that there is, as its log has it."""
        (session,) = self.sessions()
        return [each.event for each in self.server.log_of(session) if isinstance(each.event, MessagePosted)]

    def written(self) -> list[str]:
        """What the log has of the participant."""
        return [each.content for each in self.posted() if each.source == "participant"]

    async def sockets(
        self, *, to_server: Passes = lambda frame, socket: True, to_page: Passes = lambda frame, socket: True
    ) -> list[WebSocketRoute]:
        """Stand between page and server from now on: a frame to which a function says no does not arrive. The list
        grows with every socket that the page opens."""
        opened: list[WebSocketRoute] = []

        def stand_between(socket: WebSocketRoute) -> None:
            server = socket.connect_to_server()
            opened.append(socket)
            socket.on_message(lambda data: server.send(data) if to_server(json.loads(data), socket) else None)
            server.on_message(lambda data: socket.send(data) if to_page(json.loads(data), socket) else None)

        await self.page.route_web_socket(re.compile("/ws/"), stand_between)
        return opened

    def button(self, label: str) -> Locator:
        return self.page.get_by_role("button", name=label, exact=True)

    @property
    def code(self) -> Locator:
        """The completion code."""
        return self.page.locator(".code-box code")

    def sessions(self) -> list[str]:
        """The sessions that have begun, whoever's they are."""
        return [path.stem for path in self.server.log_dir.glob("*.json")]

    async def pale_texts(self) -> list[str]:
        """Say which texts have too little contrast for WCAG AA."""
        return await self.page.evaluate(PALE_TEXTS)


@asynccontextmanager
async def visiting(browser: Browser, server: Server, device: dict[str, Any] = PHONE) -> AsyncIterator[Visit]:
    """Open a tab of somebody new; any error in its console, and any request to somewhere else, fails the test."""
    context = await browser.new_context(**device)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    context.on("request", lambda request: errors.append(request.url) if not _is_expected(request.url, server) else None)
    await context.route(f"{PANEL_SITE}/**", lambda route: route.fulfill(body="back at the panel"))
    yield Visit(await context.new_page(), server)
    await context.close()
    assert [error for error in errors if not REFUSED.search(error)] == []


def _is_expected(url: str, server: Server) -> bool:
    return url.startswith((server.http, server.ws, PANEL_SITE))


class Line:
    """What lies between a browser and the server; `server` is the server at this end of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sockets = 0
        """How many were opened through it."""
        self._port = server.port
        self._is_broken = False
        self._dead: set[StreamWriter] = set()
        self._open: dict[StreamWriter, bool] = {}

    def goes_dead(self) -> None:
        """From now on nothing comes through the sockets that are open, and nobody is told: the phone changed network.
        New ones work."""
        for writer, is_socket in self._open.items():
            if is_socket:
                self._dead.add(writer)
            else:
                writer.close()

    def breaks(self) -> None:
        """Nothing that is open stays open, and nothing can be opened, until it works again."""
        self._is_broken = True
        for writer in self._open:
            writer.close()

    def works_again(self) -> None:
        self._is_broken = False

    def leads_to(self, server: Server) -> None:
        """Connect whoever comes from now on with another server."""
        self._port = server.port

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            first = await reader.read(CHUNK)
            if first and not self._is_broken:
                await self._carry(first, reader, writer)
        writer.close()

    async def _carry(self, first: bytes, reader: StreamReader, writer: StreamWriter) -> None:
        is_socket = first.startswith(b"GET /ws/")
        self.sockets += is_socket
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        to_server.write(first)
        self._open[writer] = is_socket
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass_on(reader, to_server, writer))
                ways.create_task(self._pass_on(from_server, writer, writer))
        finally:
            del self._open[writer]

    async def _pass_on(self, source: StreamReader, target: StreamWriter, socket: StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(CHUNK):
                if socket not in self._dead:
                    target.write(data)
        target.close()


CHUNK = 64 * 1024


@asynccontextmanager
async def line_to(server: Server) -> AsyncIterator[Line]:
    """Lay a line to the server for the browser to go through."""
    line = Line(server)
    async with await asyncio.start_server(line.carry, "127.0.0.1", 0) as listening:
        line.server = replace(server, port=listening.sockets[0].getsockname()[1])
        yield line
        line.breaks()


# A canvas knows every notation of colours, and lays one over the other.
PALE_TEXTS = """() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const laid = (...colors) => {
    context.clearRect(0, 0, 1, 1);
    for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const grounds = (element) =>
    element ? [...grounds(element.parentElement), getComputedStyle(element).backgroundColor] : [];
  const isText = (element) => element.checkVisibility() && !element.matches(":disabled, .for-screen-readers")
    && [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...document.body.querySelectorAll("*")].filter(isText).map((element) => {
    const ground = grounds(element);
    const [a, b] = [laid(...ground, getComputedStyle(element).color), laid(...ground)].map(luminance);
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim()];
  }).filter(([contrast]) => contrast < 4.5).map(([contrast, text]) => `${contrast.toFixed(1)}: ${text}`);
}"""
