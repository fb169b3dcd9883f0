"""The pictures of README and docs: `make screenshots`.

Starts a server with the shipped settings made lively, lets a participant chat on a phone and on a laptop, in light and
dark, has a table play two rounds and a what-if, and saves what is seen beside this file. Seeds are fixed, and what
people say, so pictures of different days differ in little but their dates.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Browser, Page, async_playwright

HERE = Path(__file__).parent
ROOT = HERE.parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
LIVELY = {
    "messages_per_minute": 24,
    "user_response_probability": 1,
    "timing": {"scale": 0.45},
    "random_seed": 11,
    "act_weights": {"message": 0.8, "reply": 0.12, "mention": 0.05, "reaction": 0.12},
}


def lively_settings(folder: Path) -> None:
    settings = json.loads((ROOT / "config" / "simulation_settings.json").read_text(encoding="utf-8"))
    settings.pop("$schema")
    (folder / "simulation_settings.json").write_text(json.dumps(settings | LIVELY), encoding="utf-8")
    shutil.copy(ROOT / "config" / "experimental_settings.json", folder)


def started(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Return a running server and its page's address."""
    command = [sys.executable, "-m", "server", "--port", "0", "--experiment", str(folder), "--log-dir", str(folder)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"http://\S+", line):
            return server, found[0]
    raise SystemExit("the server did not start")


async def chat(page: Page, address: str) -> None:
    await page.goto(f"{address}?token=1234")
    await page.get_by_role("button", name="Join the chat").click()
    box = page.get_by_role("textbox", name="Message")
    await page.locator(".message").nth(2).wait_for(timeout=60_000)
    await box.fill("Hi everyone, I'm new here 👋")
    await page.keyboard.press("Enter")
    await page.locator(".message:not(.own)").nth(5).wait_for(timeout=60_000)
    await box.fill("@Alice do you know when the bins are collected?")
    await page.keyboard.press("Enter")
    count = await page.locator(".message").count()
    await page.locator(".message").nth(count + 3).wait_for(timeout=60_000)
    await page.locator(".typing").wait_for(timeout=60_000)


async def picture(browser: Browser, address: str, name: str, device: dict[str, Any], theme: Any) -> None:
    context = await browser.new_context(**device, color_scheme=theme, locale="en-GB")
    page = await context.new_page()
    await chat(page, address)
    await page.screenshot(path=HERE / f"{name}-{theme}.png")
    await context.close()


SCENARIO = (
    "We launch a project-management app for small teams in eight weeks. The product is feature complete but for "
    "billing, three pilot customers are waiting, and a larger competitor has announced something similar for the same "
    "month."
)
VIEWS = {"table": ("", "light"), "timeline": ("/timeline", "light"), "what-if": ("/what-if/{what_if}", "dark")}
"""What is seen of a table -> where on its page, and in which theme."""


def table(address: str) -> dict[str, str]:
    """Have a table play, and return what its page's addresses are made of."""
    with httpx2.Client(base_url=address, trust_env=False, timeout=60) as client:

        def posted(path: str, **body: Any) -> Any:
            return client.post(path, json=body).raise_for_status().json()

        config = {"max_turns": 6, "seed": 7}
        session = posted("/simulate/start", scenario=SCENARIO, name="Product launch", config=config)["session_id"]
        posted(
            "/simulate/next", session_id=session, user_input="Two pilots want a date in writing. What do we tell them?"
        )
        posted("/simulate/next", session_id=session)
        halved = {"type": "scenario", "target": "scenario", "change": {"append": "The budget is halved."}}
        found = posted("/simulate/what-if", session_id=session, name="Half the budget", modifications=[halved], runs=3)
        return {"session": session, "what_if": found["id"]}


async def table_picture(browser: Browser, address: str, name: str, place: str, theme: Any) -> None:
    context = await browser.new_context(**LAPTOP, color_scheme=theme, locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{address}workforce#{place}")
    await page.locator(".voice, .gantt, .outcome").first.wait_for(timeout=30_000)
    if name != "table":
        await page.get_by_role("navigation", name="Session").evaluate("tabs => tabs.scrollIntoView()")
    await page.screenshot(path=HERE / f"workforce-{name}.png")
    await context.close()


async def every_picture(address: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, device in (("phone", PHONE), ("laptop", LAPTOP)):
            for theme in ("light", "dark"):
                await picture(browser, address, name, device, theme)
                print(f"docs/{name}-{theme}.png")
        made = table(address)
        for name, (place, theme) in VIEWS.items():
            await table_picture(browser, address, name, f"{made['session']}{place.format(**made)}", theme)
            print(f"docs/workforce-{name}.png")
        await browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        lively_settings(Path(folder))
        server, address = started(Path(folder))
        try:
            asyncio.run(every_picture(address))
        finally:
            server.terminate()
            server.wait()
