"""A researcher in a browser: begins a session, plays rounds, reads what comes of them, asks what would be if."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from providers import fake_provider
from servers import Server, serving
from visits import LAPTOP, PALE_TEXTS, PHONE

pytestmark = pytest.mark.browser

TABS = ("", "timeline", "function-points", "memory", "what-if", "session")
NARROW = {"viewport": {"width": 320, "height": 256}, "locale": "en-GB"}
"""1280x1024 at 400 %."""
SEVEN = 7
REFUSED = re.compile(r"status of (404|409|422|502|503)")
"""What the console says of answers that are no faults of the page."""


class Desk:
    """What a researcher does and sees on the page."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server

    async def opens(self, place: str = "") -> None:
        await self.page.goto(f"{self.server.http}/workforce{f'#{place}' if place else ''}")

    async def begins(self) -> str:
        """Start the example; return the session's id."""
        await self.opens("new")
        await expect(self.page.locator(".role")).to_have_count(SEVEN)
        await self.presses("Try the product launch")
        await self.presses("Start the session")
        await expect(self.page.get_by_role("heading", name="The table is set")).to_be_visible()
        return self.session_id

    async def plays(self, said: str = "") -> None:
        """Play a round to its end."""
        before = await self.summaries.count()
        await self.box.fill(said)
        await self.presses("Next round")
        await expect(self.summaries).to_have_count(before + 1, timeout=15_000)

    async def turns_to(self, tab: str) -> None:
        await self.page.get_by_role("navigation", name="Session").get_by_role("link", name=tab, exact=True).click()

    async def presses(self, label: str) -> None:
        await self.button(label).click()

    def button(self, label: str) -> Locator:
        return self.page.get_by_role("button", name=label, exact=True)

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Say something to the table")

    @property
    def summaries(self) -> Locator:
        return self.page.locator(".summary")

    @property
    def session_id(self) -> str:
        match = re.search(r"#([0-9a-f-]{36})", self.page.url)
        assert match, self.page.url
        return match[1]

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@asynccontextmanager
async def sitting(
    browser: Browser, folder: Path, device: dict[str, Any] = LAPTOP, settings: dict[str, Any] | None = None
) -> AsyncIterator[Desk]:
    """Open the page of a fresh server; an error in its console, or a request to somewhere else, fails the test."""
    async with serving(folder, settings=settings) as server:
        context = await browser.new_context(**device)
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: errors.append(request.url) if server.http not in request.url else None)
        yield Desk(page, server)
        await context.close()
        assert [error for error in errors if not REFUSED.search(error)] == []


async def test_a_researcher_plays_two_rounds_and_reads_voices_timeline_and_function_points(browser, tmp_path):
    async with sitting(browser, tmp_path) as desk:
        page = desk.page
        await desk.opens()
        await expect(page.get_by_role("heading", name="Nobody has met yet")).to_be_visible()
        await page.get_by_role("link", name="New session").first.click()
        await desk.begins()
        await desk.plays("Two pilots ask for a date and/or a discount, 24/7.")
        await desk.plays()
        first, second = page.locator(".round").nth(0), page.locator(".round").nth(1)
        await expect(first.locator(".said p")).to_have_text("Two pilots ask for a date and/or a discount, 24/7.")
        await expect(first.locator(".voice")).to_have_count(SEVEN)
        await expect(second.locator(".voice")).to_have_count(SEVEN)
        await expect(second.locator(".voice h3").first).to_have_text("Chief Executive Officer")
        await expect(desk.box).to_have_value("")
        await first.locator(".voice summary", has_text="Figures").first.click()
        await expect(first.locator(".voice .facts").first).to_contain_text("nothing in an answer measures its quality")

        await desk.turns_to("Timeline")
        bars = page.locator(".gantt .task-bar")
        assert await bars.count() > 1
        assert await bars.count() == await page.locator(".task-names li").count()
        critical = page.locator(".gantt .is-critical .task-bar")
        assert await critical.count() == await page.locator(".task-names b", has_text="Critical").count() > 0
        await page.get_by_text("The same as a table").click()
        assert await page.get_by_role("table", name="Tasks of the timeline").locator("tbody tr").count() == (
            await bars.count()
        )

        await desk.turns_to("Function points")
        points = await page.get_by_role("table", name="Function points").locator("td .number").all_inner_texts()
        assert sum(map(int, points[:-1])) == int(points[-1])

        await page.get_by_role("navigation", name="Page").get_by_role("link", name="Sessions").click()
        await expect(page.locator(".session")).to_contain_text("2 of 6 rounds")


async def test_a_round_that_fails_keeps_what_was_said_and_is_taken_up_where_it_stopped(browser, tmp_path):
    async with fake_provider() as provider:
        settings = provider.settings("openai_compatible")
        async with sitting(browser, tmp_path, settings=settings) as desk:
            page = desk.page
            await desk.begins()
            provider.fake.queue("ok", times=3)
            provider.fake.queue("blocked")
            await desk.box.fill("What is the date?")
            await desk.presses("Next round")
            await expect(page.get_by_role("alert")).to_contain_text(
                "Round 1 has stopped: the model gave no answer to", timeout=15_000
            )
            await expect(page.locator(".voice")).to_have_count(3)
            await expect(desk.box).to_have_value("What is the date?")
            await page.reload()
            await expect(page.locator(".voice")).to_have_count(3)
            await desk.presses("Try again")
            await expect(desk.summaries).to_have_count(1, timeout=15_000)
            await expect(page.locator(".voice")).to_have_count(SEVEN)
            assert len(provider.asked) == 3 + 1 + 4 + 1, "three were kept, one was refused, four spoke, one summed up"


async def test_voices_appear_as_they_come_the_others_are_awaited_and_a_reload_disturbs_nothing(browser, tmp_path):
    async with fake_provider() as provider:
        async with sitting(browser, tmp_path, settings=provider.settings("openai_compatible")) as desk:
            await desk.begins()
            provider.fake.queue("ok", times=2)
            provider.fake.queue("ok", latency=3)
            await desk.presses("Next round")
            await expect(desk.page.locator(".voice")).to_have_count(2, timeout=15_000)
            await expect(desk.page.locator(".awaited li")).to_have_count(SEVEN - 2)
            await expect(desk.page.locator(".seats .is-awaited")).to_have_count(SEVEN - 2)
            await desk.page.reload()
            await expect(desk.page.locator(".awaited li")).to_have_count(SEVEN - 2)
            await expect(desk.button("Round 1 is played…")).to_be_disabled()
            await expect(desk.summaries).to_have_count(1, timeout=15_000)
            await expect(desk.button("Next round")).to_be_enabled()
            assert len(provider.asked) == SEVEN + 1


async def test_a_what_if_is_played_and_compared_side_by_side_and_found_again(browser, tmp_path):
    async with sitting(browser, tmp_path) as desk:
        page = desk.page
        session_id = await desk.begins()
        await desk.plays()
        await desk.turns_to("What if")
        await expect(page.get_by_label("Leaves the session")).to_have_value("1")
        await page.get_by_label("What changes").select_option("scenario")
        await page.get_by_label("Text", exact=True).fill("The budget is halved.")
        await page.get_by_label("Rounds on each branch").fill("2")
        await page.get_by_label("Runs").fill("2")
        await desk.presses("Play both branches")
        await expect(page.locator(".outcome")).to_have_count(2, timeout=20_000)
        await expect(page.locator(".outcome .side:not(.is-modified) p").first).not_to_contain_text("deleted")
        await expect(page.locator(".changes")).to_contain_text("The budget is halved.")
        await expect(page.locator(".analysis")).to_have_count(SEVEN)
        await expect(page.locator(".branch-links a")).to_have_count(4)
        left, right = [await page.locator(".outcome .side").nth(n).bounding_box() for n in (0, 1)]
        assert left
        assert right
        assert left["y"] == right["y"], "side by side"
        assert left["x"] < right["x"]

        await page.reload()
        await expect(page.locator(".outcome")).to_have_count(2)
        assert re.search(rf"#{session_id}/what-if/[0-9a-f-]{{36}}$", page.url)
        await page.get_by_role("link", name="Changed, run 1").click()
        await expect(page.locator(".round")).to_have_count(3)
        await page.get_by_role("link", name="Back to it").click()
        await page.get_by_role("link", name="All what-ifs").click()
        await page.locator(".earlier-item").click()
        await expect(page.locator(".outcome")).to_have_count(2)


async def test_a_session_is_paused_resumed_and_deleted(browser, tmp_path):
    async with sitting(browser, tmp_path) as desk:
        page = desk.page
        await desk.begins()
        await desk.turns_to("Session")
        await expect(page.locator(".settings")).to_contain_text(f"{desk.session_id}.json")
        await desk.presses("Pause the session")
        await expect(page.locator(".session-head .pill")).to_have_text(["Paused", "Scripted answers"])
        await desk.turns_to("Table")
        await expect(desk.box).to_be_hidden()
        await desk.presses("Resume")
        await expect(desk.box).to_be_visible()
        await desk.turns_to("Session")
        await desk.presses("Delete the session")
        await desk.presses("Keep it")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await desk.presses("Delete the session")
        await desk.presses("Delete")
        await expect(page.get_by_role("heading", name="Nobody has met yet")).to_be_visible()


async def test_a_role_is_given_a_memory_and_everything_is_forgotten(browser, tmp_path):
    async with sitting(browser, tmp_path) as desk:
        page = desk.page
        await desk.begins()
        await desk.plays()
        await desk.turns_to("Memory")
        await expect(page.locator(".memory-group")).to_have_count(SEVEN)
        await desk.presses("Add to memory")
        await expect(page.locator(".field:has([aria-invalid])")).to_have_count(1)
        await page.get_by_label("Role").select_option("pm")
        await page.get_by_label("Key").fill("pilot_terms")
        await page.get_by_label("Content").fill("A pilot may leave at any time.")
        await desk.presses("Add to memory")
        await expect(page.get_by_text("It is remembered.")).to_be_visible()
        await page.locator(".memory-group", has_text="Product Manager").locator("summary").click()
        await expect(page.locator(".memory", has_text="pilot_terms")).to_contain_text("A pilot may leave at any time.")
        await desk.presses("Forget all")
        await page.get_by_role("dialog").get_by_role("button", name="Forget all").click()
        await expect(page.get_by_role("heading", name="Nothing is remembered yet")).to_be_visible()


async def test_what_is_wrong_is_told_at_its_field_and_nothing_typed_is_lost(browser, tmp_path):
    async with sitting(browser, tmp_path) as desk:
        page = desk.page
        await desk.opens("new")
        await expect(page.locator(".role")).to_have_count(SEVEN)
        await page.get_by_label("Scenario").fill("Too short")
        await page.get_by_label("Rounds at most").fill("501")
        await desk.presses("Start the session")
        for label in ("Scenario", "Rounds at most"):
            place = page.locator(".field", has=page.get_by_label(label))
            await expect(place.locator(".problem").first).not_to_be_empty()
        await expect(page.get_by_label("Scenario")).to_be_focused()
        await expect(page.get_by_label("Scenario")).to_have_value("Too short")
        await page.get_by_label("Scenario").fill("Long enough by now")
        await expect(page.locator(".field", has=page.get_by_label("Scenario")).locator(".problem")).to_be_empty()
        await page.get_by_label("Rounds at most").fill("1")
        await desk.presses("Start the session")
        await desk.box.fill("x" * 2001)
        await desk.presses("Next round")
        await expect(page.locator(".composer .problem").last).not_to_be_empty()
        assert len(await desk.box.input_value()) == 2001
        await desk.plays("Enough.")
        await expect(page.get_by_text("All rounds have been played.")).to_be_visible()


async def test_a_reload_keeps_its_place(browser, tmp_path):
    async with sitting(browser, tmp_path) as desk:
        session_id = await desk.begins()
        await desk.plays()
        await desk.turns_to("Timeline")
        await desk.page.reload()
        await expect(desk.page.locator(".gantt .task-bar").first).to_be_visible()
        assert desk.page.url.endswith(f"#{session_id}/timeline")
        await desk.opens("00000000-0000-0000-0000-000000000000")
        await expect(desk.page.get_by_role("heading", name="There is no such session")).to_be_visible()


async def test_a_session_can_be_begun_and_played_with_the_keys_alone(browser, tmp_path):
    async with sitting(browser, tmp_path) as desk:
        keyboard = desk.page.keyboard
        await desk.opens()
        await expect(desk.page.get_by_role("heading", name="Nobody has met yet")).to_be_visible()
        await tab_to(desk.page, "New session")
        await keyboard.press("Enter")
        await expect(desk.page.locator(".role")).to_have_count(SEVEN)
        await tab_to(desk.page, "Try the product launch")
        await keyboard.press("Enter")
        await expect(desk.button("Start the session")).to_be_focused()
        await keyboard.press("Enter")
        await expect(desk.box).to_be_visible()
        await tab_to(desk.page, "Say something to the table")
        await keyboard.type("What must not slip?")
        await keyboard.press("Control+Enter")
        await expect(desk.summaries).to_have_count(1, timeout=15_000)
        await tab_to(desk.page, "Timeline")
        await keyboard.press("Enter")
        await expect(desk.page.locator(".gantt")).to_be_visible()
        await tab_to(desk.page, "", selector=".gantt-box")


async def tab_to(page: Page, name: str, selector: str = "a, button, textarea") -> None:
    """Press Tab until what is called `name` has the focus."""
    wanted = """([name, selector]) => {
      const at = document.activeElement;
      const called = at.textContent.trim() || (at.labels && at.labels[0]?.textContent) || "";
      return at.matches(selector) && (!name || called === name);
    }"""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate(wanted, [name, selector]):
            return
    raise AssertionError(f"no Tab leads to {name or selector}")


async def test_nothing_is_too_wide_or_too_pale_on_a_phone_a_laptop_and_at_400_percent(browser, tmp_path):
    async with sitting(browser, tmp_path, PHONE) as desk:
        page = desk.page
        session_id = await desk.begins()
        await desk.plays("What must not slip?")
        await desk.opens(f"{session_id}/what-if")
        await page.get_by_label("is now").fill("60000")
        await page.get_by_label("Rounds on each branch").fill("1")
        await desk.presses("Play both branches")
        await expect(page.locator(".outcome")).to_have_count(1, timeout=20_000)
        places = [*(f"{session_id}/{tab}" for tab in TABS), page.url.partition("#")[2], "new", ""]
        for size in (PHONE["viewport"], LAPTOP["viewport"], NARROW["viewport"]):
            await page.set_viewport_size(size)
            for place in places:
                await page.goto("about:blank")
                await desk.opens(place)
                await expect(page.locator("#view > .page")).to_be_visible()
                await expect(page.locator(".loading")).to_have_count(0)
                await page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
                assert await desk.overflow() <= 0, (size, place)
                for theme in ("light", "dark") if size is not NARROW["viewport"] else ():
                    await page.emulate_media(color_scheme=theme)
                    assert await page.evaluate(PALE_TEXTS) == [], (size, place, theme)
