"""Visits to the participant page: a tab of its own on a real server, from the link to the end."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect
from servers import Server

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
    "locale": "en-GB",
}
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
PANEL_SITE = "https://panel.example"
REFUSED = re.compile(r"status of (401|403|404|409|422|429|503)|ERR_INTERNET_DISCONNECTED")
"""What a browser's console says of answers that are no faults: a look that finds nothing, an end that is told."""


class Visit:
    """What a participant does and sees in one tab."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server

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
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: errors.append(request.url) if not _is_expected(request.url, server) else None)
    await context.route(f"{PANEL_SITE}/**", lambda route: route.fulfill(body="back at the panel"))
    yield Visit(page, server)
    await context.close()
    assert [error for error in errors if not REFUSED.search(error)] == []


def _is_expected(url: str, server: Server) -> bool:
    return url.startswith((server.http, server.ws, PANEL_SITE))


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
