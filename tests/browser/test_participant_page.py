"""A participant in a browser: joins, chats, sees typing and a reply, and is told the end."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, WebSocketRoute, expect
from servers import Server, serving

from simulation.events import MessagePosted

pytestmark = pytest.mark.browser

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
    "locale": "en-GB",
}
LAPTOP = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
LIVELY = {"timing": {"scale": 0.05}, "user_response_probability": 1, "messages_per_minute": 0}


class Chat:
    """What a participant does and sees on the page."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server

    async def opens(self, query: str = "") -> None:
        await self.page.goto(f"{self.server.http}/{query}")

    async def joins(self, token: str = "1234") -> None:
        await self.opens()
        await self.page.get_by_label("Access code").fill(token)
        await self.page.get_by_role("button", name="Join the chat").click()

    async def enters(self) -> None:
        await self.joins()
        await expect(self.page.locator("#room")).to_be_visible()

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    async def writes(self, content: str) -> None:
        await self.box.fill(content)
        await self.page.keyboard.press("Enter")


@asynccontextmanager
async def visiting(browser: Browser, folder: Path, device: dict = PHONE, **changes) -> AsyncIterator[Chat]:
    """Open a page on a fresh server; any error in its console fails the test."""
    async with serving(folder, **(LIVELY | changes)) as server:
        context = await browser.new_context(**device)
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: errors.append(request.url) if server.http not in request.url else None)
        yield Chat(page, server)
        await context.close()
        assert [error for error in errors if not re.search(r"status of (401|404|409)", error)] == []


@pytest.mark.parametrize("device", [PHONE, LAPTOP], ids=["phone", "laptop"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_joins_chats_sees_typing_and_a_reply_and_is_told_the_end(browser, tmp_path, device, theme):
    changes = {"session_duration_minutes": 0.2, "timing": {"scale": 0.3}, "group_name": "Mill Lane"}
    async with visiting(browser, tmp_path, device | {"color_scheme": theme}, **changes) as chat:
        page = chat.page
        await chat.enters()
        await expect(page.get_by_role("heading", name="Mill Lane")).to_be_visible()
        await expect(page.locator("#subtitle")).to_have_text("Alice, Bob, Charlie, Diana, Eve, You")
        await chat.writes("@Diana do you know when the bins are collected?")
        own = page.locator(".message.own")
        await expect(own).to_contain_text("@Diana do you know when")
        await expect(own.locator(".mention")).to_have_text("@Diana")
        await expect(own.get_by_role("img", name="Sent")).to_be_visible()
        await expect(page.locator("#subtitle")).to_have_text("Diana is typing…")
        await expect(page.locator(".typing .dot")).to_have_count(3)
        answer = page.locator(".message:not(.own):not(.typing)")
        await expect(answer.locator(".sender")).to_have_text("Diana")
        await expect(page.locator(".typing")).to_have_count(0)
        await expect(answer.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d$"))
        await expect(page.locator(".day")).to_have_text("Today")
        await expect(page.get_by_role("heading", name="The time is up")).to_be_visible(timeout=15_000)
        await expect(page.locator("#room")).to_be_hidden()


async def test_a_wrong_code_is_told_and_another_may_be_tried(browser, tmp_path):
    async with visiting(browser, tmp_path) as chat:
        await chat.joins("4321")
        await expect(chat.page.get_by_role("alert")).to_have_text("This code is not valid. Please check it.")
        await chat.page.get_by_label("Access code").fill("1234")
        await chat.page.keyboard.press("Enter")
        await expect(chat.page.locator("#room")).to_be_visible()


async def test_a_token_in_the_link_is_taken_and_removed_from_the_address(browser, tmp_path):
    async with visiting(browser, tmp_path) as chat:
        await chat.opens("?token=1234&lang=en")
        assert chat.page.url == f"{chat.server.http}/?lang=en"
        await expect(chat.page.get_by_text("You have been invited").last).to_be_visible()
        assert not list(chat.server.log_dir.iterdir())  # following a link starts nothing
        await chat.page.get_by_role("button", name="Join the chat").click()
        await expect(chat.page.locator("#room")).to_be_visible()
        assert "1234" not in chat.page.url


async def test_enter_sends_shift_enter_breaks_and_a_composition_does_neither(browser, tmp_path):
    async with visiting(browser, tmp_path, LAPTOP, user_response_probability=0) as chat:
        await chat.enters()
        box = chat.box
        await box.press_sequentially("one")
        await box.press("Shift+Enter")
        await box.press_sequentially("two")
        await box.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
        await expect(box).to_have_value("one\ntwo")
        await expect(chat.page.locator(".message.own")).to_have_count(0)
        await box.press("Enter")
        await expect(chat.page.locator(".message.own .content")).to_have_text("one\ntwo")
        await expect(box).to_have_value("")
        await box.press("Enter")
        await box.fill("   ")
        await box.press("Enter")
        await expect(chat.page.locator(".message.own")).to_have_count(1)


async def test_own_bubbles_stand_at_the_other_side_and_groups_share_a_name(browser, tmp_path):
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.enters()
        await chat.writes("one")
        await chat.writes("two")
        own = chat.page.locator(".message.own")
        await expect(own).to_have_count(2)
        box = await own.nth(0).locator(".bubble").bounding_box()
        assert box["x"] + box["width"] > 350
        await expect(own.nth(0)).to_have_class(re.compile("first"))
        await expect(own.nth(1)).not_to_have_class(re.compile("first"))


async def test_a_message_can_be_replied_to_with_a_quote(browser, tmp_path):
    async with visiting(browser, tmp_path, LAPTOP) as chat:
        await chat.enters()
        await chat.writes("@Bob hello")
        answer = chat.page.locator(".message:not(.own):not(.typing)")
        await expect(answer).to_have_count(1)
        await answer.locator(".bubble").hover()
        await answer.get_by_role("button", name="Reply").click()
        await expect(chat.page.locator(".composer-quote .quote-sender")).to_have_text("Bob")
        await chat.writes("thank you")
        quoting = chat.page.locator(".message.own").nth(1)
        await expect(quoting.locator(".quote-sender")).to_have_text("Bob")
        await expect(chat.page.locator(".composer-quote")).to_be_hidden()
        (session,) = chat.server.log_dir.glob("*.json")
        posted = [r.event for r in chat.server.log_of(session.stem) if isinstance(r.event, MessagePosted)]
        assert posted[2].reply_to == posted[1].message_id


async def test_a_tap_shows_what_can_be_done_with_a_message_on_a_phone(browser, tmp_path):
    async with visiting(browser, tmp_path) as chat:
        await chat.enters()
        await chat.writes("@Bob hello")
        answer = chat.page.locator(".message:not(.own):not(.typing)")
        await expect(answer).to_have_count(1)
        await answer.locator(".bubble").tap(position={"x": 10, "y": 10})
        await expect(answer).to_have_class(re.compile("chosen"))
        await answer.get_by_role("button", name="Reply").tap()
        await expect(chat.page.locator(".composer-quote .quote-sender")).to_have_text("Bob")
        await chat.page.get_by_role("button", name="Do not reply to this message").tap()
        await expect(chat.page.locator(".composer-quote")).to_be_hidden()


async def test_text_is_text_and_never_markup(browser, tmp_path):
    hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script> & <b>bold</b>'
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.enters()
        await chat.writes(hostile)
        await expect(chat.page.locator(".message.own .content")).to_have_text(hostile)
        await expect(chat.page.locator(".message.own img, .message.own b")).to_have_count(0)
        assert await chat.page.title() != "1"


async def test_whoever_reads_further_up_is_left_in_peace_and_told_of_what_is_new(browser, tmp_path):
    async with visiting(browser, tmp_path, LAPTOP, messages_per_minute=200) as chat:
        await chat.enters()
        for number in range(30):
            await chat.writes(f"line {number}")
        await chat.page.locator("#log").evaluate("log => log.scrollTo({ top: 0, behavior: 'instant' })")
        await expect(chat.page.locator("#unseen-count")).to_have_text(re.compile(r"[2-9]"), timeout=15_000)
        assert await chat.page.locator("#log").evaluate("log => log.scrollTop") < 100
        await chat.page.get_by_role("button", name="Go to the newest message").click()
        await expect(chat.page.locator("#to-newest")).to_be_hidden()


async def test_a_reload_comes_back_to_the_same_chat(browser, tmp_path):
    async with visiting(browser, tmp_path) as chat:
        await chat.enters()
        await chat.writes("before the reload")
        await expect(chat.page.get_by_role("img", name="Sent")).to_be_visible()
        await chat.page.reload()
        await expect(chat.page.locator(".message.own")).to_contain_text("before the reload")
        assert len(list(chat.server.log_dir.glob("*.json"))) == 1


async def test_a_lost_connection_comes_back_by_itself_and_sends_what_was_written_meanwhile(browser, tmp_path):
    routes: list[tuple[WebSocketRoute, WebSocketRoute]] = []
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.page.route_web_socket(re.compile("/ws/"), lambda ws: routes.append((ws, ws.connect_to_server())))
        await chat.enters()
        await chat.writes("one")
        await expect(chat.page.get_by_role("img", name="Sent")).to_have_count(1)
        for side in routes[0]:
            await side.close(code=1012)
        await chat.writes("two")
        await expect(chat.page.get_by_role("img", name="Sent")).to_have_count(2, timeout=20_000)
        assert len(routes) == 2
        (session,) = chat.server.log_dir.glob("*.json")
        posted = [r.event.content for r in chat.server.log_of(session.stem) if isinstance(r.event, MessagePosted)]
        assert posted == ["one", "two"]


async def test_what_waits_for_its_echo_stands_last_and_then_where_the_log_has_it(browser, tmp_path):
    held: list[str | bytes] = []
    async with visiting(browser, tmp_path, messages_per_minute=200, user_response_probability=0) as chat:
        await chat.page.route_web_socket(re.compile("/ws/"), lambda ws: _hold_messages(ws, held))
        await chat.enters()
        await chat.writes("sent in a tunnel")
        messages = chat.page.locator(".message:not(.typing)")
        await expect(messages.nth(3)).to_be_visible()
        await expect(messages.last).to_have_class(re.compile("pending"))
        ws, *frames = held
        for frame in frames:
            ws.send(frame)
        await expect(chat.page.get_by_role("img", name="Sent")).to_have_count(1)
        before = await messages.evaluate_all("all => all.map(each => each.dataset.id)")
        (session,) = chat.server.log_dir.glob("*.json")
        posted = [r.event for r in chat.server.log_of(session.stem) if isinstance(r.event, MessagePosted)]
        assert before == [each.message_id for each in posted][: len(before)]


def _hold_messages(ws: WebSocketRoute, held: list) -> None:
    """Let everything through but what the participant writes; that goes into `held`, after its way to the server."""
    server = ws.connect_to_server()
    held.append(server)
    ws.on_message(lambda data: held.append(data) if "user_message" in data else server.send(data))


async def test_the_end_stays_the_end_until_the_link_is_opened_again(browser, tmp_path):
    async with visiting(browser, tmp_path, session_duration_minutes=0.05) as chat:
        await chat.enters()
        the_end = chat.page.get_by_role("heading", name="The time is up")
        await expect(the_end).to_be_visible(timeout=15_000)
        await chat.page.reload()
        await expect(the_end).to_be_visible()
        await chat.opens("?token=1234")
        await chat.page.get_by_role("button", name="Join the chat").click()
        await expect(chat.page.locator("#room")).to_be_visible()


async def test_a_chat_that_is_no_longer_there_is_told_as_such(browser, tmp_path):
    async with visiting(browser, tmp_path) as chat:
        await chat.opens()
        await chat.page.evaluate("sessionStorage.setItem('chatroom-session', crypto.randomUUID())")
        await chat.page.reload()
        await expect(chat.page.get_by_role("heading", name="The chat was interrupted")).to_be_visible()
        await chat.page.reload()
        await expect(chat.page.get_by_label("Access code")).to_be_visible()


async def test_a_lost_server_is_noticed_and_nobody_goes_on_typing(browser, tmp_path):
    timing = {"scale": 1, "typing_characters_per_second": 1}
    async with visiting(browser, tmp_path, timing=timing, user_response_probability=1) as chat:
        routes: list[WebSocketRoute] = []
        await chat.page.route_web_socket(re.compile("/ws/"), lambda ws: _lets_in_once(ws, routes))
        await chat.enters()
        await chat.writes("hi")
        await expect(chat.page.locator(".typing")).to_be_visible(timeout=15_000)
        await routes[0].close(code=1012)
        await expect(chat.page.locator(".typing")).to_have_count(0)
        await expect(chat.page.locator("#connection-notice")).to_be_visible(timeout=4_000)


def _lets_in_once(ws: WebSocketRoute, routes: list[WebSocketRoute]) -> None:
    routes.append(ws)
    if len(routes) == 1:
        ws.connect_to_server()


async def test_a_message_without_an_echo_is_sent_again_on_a_new_connection(browser, tmp_path):
    routes: list[WebSocketRoute] = []
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.page.clock.install()
        await chat.page.route_web_socket(re.compile("/ws/"), lambda ws: _swallows_at_first(ws, routes))
        await chat.enters()
        await chat.writes("into the void")
        await expect(chat.page.get_by_role("img", name="Sending")).to_be_visible()
        await chat.page.clock.fast_forward(10_500)
        await expect(chat.page.get_by_role("img", name="Sent")).to_be_visible(timeout=10_000)
        assert len(routes) == 2


def _swallows_at_first(ws: WebSocketRoute, routes: list[WebSocketRoute]) -> None:
    """On the first connection, what the participant writes never arrives: a phone that changed network."""
    server = ws.connect_to_server()
    routes.append(ws)
    is_first = len(routes) == 1
    ws.on_message(lambda data: None if is_first and "user_message" in data else server.send(data))


async def test_members_may_be_called_what_they_like(browser, tmp_path):
    names = ["Anne-Marie", "Bob (dad)", "O'Neil", "D.J. [1]", "a|b$^"]
    async with visiting(browser, tmp_path, agent_names=names, user_response_probability=0) as chat:
        await chat.enters()
        for number, name in enumerate(names):
            await chat.writes(f"@{name} are you there?")
            await expect(chat.page.locator(".message.own .mention").nth(number)).to_have_text(f"@{name}")


async def test_a_name_written_from_right_to_left_turns_nothing_round_but_itself(browser, tmp_path):
    names = ["محمد علي", "Bob", "Charlie", "Diana", "Eve"]
    async with visiting(browser, tmp_path, agent_names=names, user_response_probability=0) as chat:
        await chat.enters()
        await chat.writes("@محمد علي are you there?")
        content = chat.page.locator(".message.own .content")
        await expect(content.locator(".mention")).to_have_text("@محمد علي")
        assert await content.evaluate("each => getComputedStyle(each).direction") == "ltr"


async def test_what_the_server_will_not_have_is_marked_and_not_sent_again(browser, tmp_path):
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.page.route_web_socket(re.compile("/ws/"), _refuses_what_is_bad)
        await chat.enters()
        await chat.writes("something bad")
        await expect(chat.page.get_by_role("button", name="Not sent. Tap to try again")).to_be_visible()
        await chat.writes("something good")
        await expect(chat.page.get_by_role("img", name="Sent", exact=True)).to_be_visible()
        await expect(chat.page.locator(".message .content").last).to_have_text("something good")


def _refuses_what_is_bad(ws: WebSocketRoute) -> None:
    server = ws.connect_to_server()

    def passes_on(data: str | bytes) -> None:
        frame = json.loads(data)
        if "bad" in frame.get("content", ""):
            ws.send(json.dumps({"type": "error", "code": "x", "client_message_id": frame["client_message_id"]}))
        else:
            server.send(data)

    ws.on_message(passes_on)


async def test_what_nobody_can_type_is_not_sent(browser, tmp_path):
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.enters()
        await chat.writes("a\x00b\x85")
        await expect(chat.page.get_by_role("img", name="Sent")).to_be_visible()
        await expect(chat.page.locator(".message.own .content")).to_have_text("ab")


ALONE = {"😂": True, "🇩🇪🇫🇷": True, "1️⃣": True, "👩‍👩‍👧": True, "™": False, "ok 😂": False}


async def test_emoji_alone_are_drawn_large_and_signs_are_not(browser, tmp_path):
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.enters()
        for number, (content, is_big) in enumerate(ALONE.items()):
            await chat.writes(content)
            own = chat.page.locator(".message.own").nth(number)
            await expect(own).to_be_visible()
            assert await own.evaluate("each => each.classList.contains('big-emoji')") == is_big, content


async def test_the_button_of_a_tall_message_comes_to_the_pointer(browser, tmp_path):
    async with visiting(browser, tmp_path, LAPTOP, user_response_probability=0) as chat:
        await chat.enters()
        await chat.writes("word " * 790)
        await expect(chat.page.get_by_role("img", name="Sent")).to_be_visible()
        await chat.page.locator(".message.own .meta").hover()
        await expect(chat.page.locator(".message.own .reply-button")).to_be_in_viewport()


async def test_a_link_is_remembered_until_it_is_used(browser, tmp_path):
    async with visiting(browser, tmp_path) as chat:
        await chat.opens("?token=1234")
        await chat.page.reload()
        await chat.page.get_by_role("button", name="Join the chat").click()
        await expect(chat.page.locator("#room")).to_be_visible()


async def test_what_is_too_long_is_said_and_kept(browser, tmp_path):
    async with visiting(browser, tmp_path, user_response_probability=0) as chat:
        await chat.enters()
        await chat.writes("x" * 4_002)
        await expect(chat.page.get_by_role("status").filter(has_text="2 characters too long")).to_be_visible()
        await expect(chat.page.locator(".message.own")).to_have_count(0)
        await chat.writes("x" * 4_000)
        await expect(chat.page.get_by_role("img", name="Sent")).to_have_count(1)


async def test_nothing_sticks_out_on_a_small_phone(browser, tmp_path):
    small = PHONE | {"viewport": {"width": 320, "height": 568}}
    async with visiting(
        browser, tmp_path, small, user_response_probability=0, group_name="A very long group name"
    ) as chat:
        await chat.enters()
        await chat.writes("w" * 300)
        await chat.writes("👨‍👩‍👧‍👦")
        await expect(chat.page.locator(".message.own")).to_have_count(2)
        width = await chat.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320
