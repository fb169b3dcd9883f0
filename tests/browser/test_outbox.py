"""Nothing is lost: what a participant writes arrives once and in order, and what is said in the room is seen, whatever
becomes of the page, the line, and the server's patience."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute, expect
from servers import serving
from studies import tokens_for
from visits import LAPTOP, NOT_SENT, PHONE, Frame, Line, Visit, line_to, visiting

from server import protocol

pytestmark = pytest.mark.browser

QUIET = {"user_response_probability": 0}
ANSWERED = {"user_response_probability": 1}
LIVELY = {"messages_per_minute": 400, "user_response_probability": 0}
SHORT = {"session_duration_minutes": 0.05}
TOKENS = {"entry": {"mode": "tokens"}}
MANY = [f"line {number}" for number in range(1, 9)]
ELSEWHERE = "The chat is open somewhere else"
BLOCKED_STORAGE = """for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, {
  get() { throw new DOMException("blocked", "SecurityError"); } });"""


@asynccontextmanager
async def chatting(
    browser, folder, device: dict[str, Any] = PHONE, **changes: Any
) -> AsyncIterator[tuple[Visit, Line]]:
    """Bring somebody into the chat, over a line that may go dead."""
    async with serving(folder, **(QUIET | changes)) as server, line_to(server) as line:
        async with visiting(browser, line.server, device) as visit:
            await enters(visit)
            yield visit, line


async def enters(visit: Visit, token: str = "1234") -> None:
    await visit.opens()
    await visit.types_code(token)
    await visit.is_in_the_chat()


# The page


async def test_what_waits_when_the_page_is_reloaded_is_there_again_and_arrives_once_and_in_order(browser, tmp_path):
    async with chatting(browser, tmp_path) as (visit, line):
        await visit.writes("stored")
        await visit.is_sent("stored")
        assert await visit.stored() == {}
        line.goes_dead()
        await visit.writes("one")
        await visit.writes("two")
        await visit.is_sending("one", "two")
        stored = await visit.stored()
        assert list(stored) == ["chatroom-outbox"]
        assert [item["content"] for item in stored["chatroom-outbox"]["items"]] == ["one", "two"]
        await visit.page.reload()
        await visit.is_sent("one", "two")
        assert await visit.contents() == visit.written() == ["stored", "one", "two"]
        assert await visit.stored() == {}


async def test_a_tab_that_is_closed_takes_nothing_with_it(browser, tmp_path):
    async with serving(tmp_path, experimental=TOKENS, **QUIET) as server, line_to(server) as line:
        async with visiting(browser, line.server) as visit:
            (token,) = await tokens_for(tmp_path)
            await enters(visit, token)
            line.goes_dead()
            await visit.writes("before the tab was closed")
            await visit.page.close()
            again = await visit.another_tab()
            await again.opens(f"?token={token}")
            await again.presses("Back to the chat")
            await again.is_sent("before the tab was closed")
            assert visit.written() == ["before the tab was closed"]


async def test_what_the_server_has_and_the_page_does_not_know_of_is_confirmed_by_a_reload(browser, tmp_path):
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server) as visit:
        opened = await visit.sockets(to_page=lambda frame, socket: len(opened) > 1 or "client_message_id" not in frame)
        await enters(visit)
        await visit.writes("already there")
        await visit.is_sending("already there")
        await until(lambda: visit.written() == ["already there"])
        await visit.page.reload()
        await visit.is_sent("already there")
        assert await visit.contents() == visit.written() == ["already there"]
        assert await visit.stored() == {}


async def test_what_waits_is_seen_before_there_is_a_connection_and_keeps_its_place_and_its_quote(browser, tmp_path):
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server, LAPTOP) as visit:
        is_open = True
        await visit.sockets(to_server=lambda frame, socket: is_open)
        await enters(visit)
        await visit.writes("said")
        await visit.is_sent("said")
        is_open = False
        await visit.own("said").locator(".bubble").hover()
        await visit.presses("Reply")
        await visit.writes("@Diana answered")
        await visit.page.reload()
        await expect(visit.page.locator("#connection-notice")).to_be_visible()
        await visit.is_sending("@Diana answered")
        await visit.writes("and more")
        is_open = True
        await visit.page.reload()
        await visit.is_sent("said", "@Diana answered", "and more")
        assert await visit.contents() == visit.written() == ["said", "@Diana answered", "and more"]
        await expect(visit.page.locator(".message.own .quote:visible .quote-text")).to_have_text(["said"])


async def test_where_storage_is_blocked_the_page_itself_remembers(browser, tmp_path):
    async with serving(tmp_path, **QUIET) as server, line_to(server) as line, visiting(browser, line.server) as visit:
        await visit.page.add_init_script(BLOCKED_STORAGE)
        await enters(visit)
        line.breaks()
        for content in MANY[:3]:
            await visit.writes(content)
        line.works_again()
        await visit.is_sent(*MANY[:3])
        assert visit.written() == MANY[:3]


async def test_what_waits_of_another_session_is_nobodys_business(browser, tmp_path):
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server) as visit:
        item = {"id": "x", "content": "of somebody else", "replyTo": None, "date": 0, "failed": False}
        await visit.opens()
        await visit.page.evaluate(
            "outbox => localStorage.setItem('chatroom-outbox', JSON.stringify(outbox))",
            {"session": "another", "items": [item]},
        )
        await enters(visit)
        assert await visit.stored() == {}
        await visit.writes("mine")
        await visit.is_sent("mine")
        assert await visit.contents() == visit.written() == ["mine"]
        assert await visit.stored() == {}


async def test_when_the_session_is_over_nothing_of_it_stays(browser, tmp_path):
    async with serving(tmp_path, **QUIET, **SHORT) as server, visiting(browser, server) as visit:
        await visit.sockets(to_server=lambda frame, socket: frame["type"] != "user_message")
        await enters(visit)
        await visit.page.route("**/session/start", lambda route: route.abort("internetdisconnected"))
        await visit.writes("too late")
        await visit.is_sending("too late")
        await visit.is_at("The time is up")
        assert await visit.stored() == {}
        assert visit.written() == []


async def test_whoever_comes_back_after_the_end_leaves_nothing_of_it_behind(browser, tmp_path):
    async with serving(tmp_path, experimental=TOKENS, **QUIET, **SHORT) as server, line_to(server) as line:
        async with visiting(browser, line.server) as visit:
            (token,) = await tokens_for(tmp_path)
            await enters(visit, token)
            line.goes_dead()
            await visit.writes("too late")
            await visit.page.close()
            await server.end_of(visit.sessions()[0])
            again = await visit.another_tab()
            await again.opens(f"?token={token}")
            await again.is_at("The time is up")
            assert await again.stored() == {}


# The line


async def test_what_is_written_offline_arrives_in_order_and_the_participant_is_told_no_more_than_that(
    browser, tmp_path
):
    async with chatting(browser, tmp_path) as (visit, line):
        await visit.page.context.set_offline(True)
        line.breaks()
        for content in MANY:
            await visit.writes(content)
        await visit.is_sending(*MANY)
        await expect(visit.page.locator("#connection-notice")).to_have_text("Connecting…")
        await expect(visit.page.locator("#connection-notice")).to_be_visible()
        line.works_again()
        await visit.page.context.set_offline(False)
        await visit.is_sent(*MANY)
        assert await visit.contents() == visit.written() == MANY
        await expect(visit.page.locator("#connection-notice")).to_be_hidden()


async def test_a_server_that_starts_anew_finds_the_page_again_and_gets_what_was_written_meanwhile(browser, tmp_path):
    async with AsyncExitStack() as running:
        first = await running.enter_async_context(serving(tmp_path, **QUIET))
        async with line_to(first) as line, visiting(browser, line.server) as visit:
            await enters(visit)
            await visit.writes("before")
            await visit.is_sent("before")
            await running.aclose()
            await visit.writes("meanwhile")
            await visit.is_sending("meanwhile")
            async with serving(tmp_path, **QUIET) as second:
                line.leads_to(second)
                await visit.is_sent("before", "meanwhile")
                assert await visit.contents() == visit.written() == ["before", "meanwhile"]


@pytest.mark.parametrize("was_writing", [True, False])
async def test_a_laptop_that_slept_is_back_at_once_and_with_one_connection(browser, tmp_path, was_writing):
    async with serving(tmp_path, **LIVELY) as server, line_to(server) as line:
        async with visiting(browser, line.server, LAPTOP) as visit:
            await visit.page.clock.install()
            await enters(visit)
            await expect(visit.page.locator(".message").nth(2)).to_be_visible()
            line.goes_dead()
            if was_writing:
                await visit.writes("before it slept")
            await visit.page.clock.fast_forward(90_000)  # no timer runs meanwhile, and then each once: a lid closed
            await until(lambda: line.sockets == 2)
            await visit.writes("awake")
            await visit.is_sent("awake")
            said = [each.content for each in visit.posted()]
            await expect(visit.page.locator(".message:not(.typing)").nth(len(said) - 1)).to_be_visible()
            assert (await visit.contents())[: len(said)] == said
            assert visit.written() == ["before it slept", "awake"][not was_writing :]
            assert line.sockets == 2
            assert len(visit.sessions()) == 1


@pytest.mark.parametrize("event", ["online", "visibilitychange"])
async def test_a_socket_that_was_silent_is_not_trusted_when_something_has_happened(browser, tmp_path, event):
    async with chatting(browser, tmp_path) as (visit, line):
        await visit.writes("one")
        await visit.is_sent("one")
        await happens(visit, event, after_ms=3_000)
        await visit.writes("two")
        await visit.is_sent("two")
        assert line.sockets == 1, "it was heard a moment ago"
        line.goes_dead()
        await happens(visit, event, after_ms=7_000)
        await until(lambda: line.sockets == 2)
        await visit.writes("three")
        await visit.is_sent("three")
        assert line.sockets == 2
        assert visit.written() == ["one", "two", "three"]


async def test_after_any_close_code_that_does_not_end_it_the_page_comes_back(browser, tmp_path):
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server) as visit:
        opened = await visit.sockets()
        await enters(visit)
        for code in (1001, 1008, 1009, 1011, 1012, 1013, 4408, 4429, 4999):
            await opened[-1].close(code=code)
            await visit.writes(f"after {code}")
            await visit.is_sent(f"after {code}")
        assert len(opened) == 1 + 9


# The order of things


async def test_what_was_lost_on_the_way_is_fetched_as_soon_as_the_next_frame_shows_it(browser, tmp_path):
    async with serving(tmp_path, **LIVELY) as server, visiting(browser, server, LAPTOP) as visit:
        opened = await visit.sockets(
            to_page=lambda frame, socket: len(opened) > 1 or frame.get("position") not in (3, 4)
        )
        await enters(visit)
        await expect(visit.page.locator(".message:not(.typing)").nth(6)).to_be_visible()
        contents = await visit.contents()
        assert contents == [each.content for each in visit.posted()][: len(contents)]
        assert len(opened) == 2


async def test_what_was_lost_last_is_fetched_at_the_next_heartbeat(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 0.5)
    async with serving(tmp_path, **ANSWERED) as server, visiting(browser, server) as visit:
        opened = await visit.sockets(to_page=lambda frame, _: len(opened) > 1 or not is_message(frame, 2))
        await enters(visit)
        await visit.writes("hello")
        await expect(visit.page.locator(".message:not(.own):not(.typing)")).to_be_visible()
        assert await visit.contents() == [each.content for each in visit.posted()]
        assert len(opened) == 2


async def test_what_was_lost_of_the_backlog_is_fetched_at_its_end(browser, tmp_path):
    async with serving(tmp_path, **ANSWERED) as server, visiting(browser, server) as visit:
        opened = await visit.sockets(to_page=lambda frame, _: len(opened) != 2 or not is_message(frame, 2))
        await enters(visit)
        await visit.writes("hello")
        answer = visit.page.locator(".message:not(.own):not(.typing)")
        await expect(answer).to_be_visible()
        await visit.page.reload()
        await expect(answer).to_be_visible()
        assert await visit.contents() == [each.content for each in visit.posted()]
        assert len(opened) == 3


async def test_a_line_that_loses_something_again_and_again_is_tried_at_once_and_then_with_pauses(browser, tmp_path):
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server) as visit:
        gaps: list[WebSocketRoute] = []

        def loses_three_times(frame: Frame, socket: WebSocketRoute) -> bool:
            if frame["type"] != "backlog_end" or len(gaps) == 3:
                return True
            socket.send(json.dumps(frame | {"position": 99}))
            gaps.append(socket)
            return False

        opened = await visit.sockets(to_page=loses_three_times)
        await visit.page.add_init_script("Math.random = () => 0.5;")
        await visit.page.clock.install(time=0)
        await visit.page.clock.pause_at(1_000)
        await enters(visit)
        for number, pause in enumerate((0, 499, 999), start=1):
            await until(lambda number=number: len(gaps) == number)
            if pause:
                await visit.page.clock.run_for(pause)
                await visit.page.evaluate("0")  # whatever it opened is known by now
            assert len(opened) == number, "it was tried too early"
            await visit.page.clock.run_for(1)
        await visit.writes("at last")
        await visit.is_sent("at last")


async def test_an_echo_that_comes_again_confirms_and_is_drawn_once(browser, tmp_path):
    def comes_before_itself(frame: Frame, socket: WebSocketRoute) -> bool:
        if frame["type"] == "message":
            socket.send(json.dumps({key: frame[key] for key in frame if key != "client_message_id"}))
            socket.send(json.dumps(frame))
        return True

    async with serving(tmp_path, **QUIET) as server, visiting(browser, server) as visit:
        opened = await visit.sockets(to_page=comes_before_itself)
        await enters(visit)
        for content in MANY[:3]:
            await visit.writes(content)
        await visit.is_sent(*MANY[:3])
        assert await visit.contents() == visit.written() == MANY[:3]
        assert await visit.stored() == {}
        assert len(opened) == 1


# What the server says


@pytest.mark.parametrize("error", [{"code": "rate_limited", "retry_after": 1.5}, {"code": "not_stored"}])
async def test_what_the_server_will_not_have_now_waits_and_nothing_overtakes_it(browser, tmp_path, error):
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server) as visit:
        tried: list[Frame] = []
        opened = await visit.sockets(to_server=refuses(error, tried, times=1))
        await enters(visit)
        for content in MANY[:3]:
            await visit.writes(content)
        await visit.is_sending(*MANY[:3])
        assert len(tried) == 1
        await visit.is_sent(*MANY[:3])
        assert await visit.contents() == visit.written() == MANY[:3]
        assert [frame["content"] for frame in tried] == [MANY[0], *MANY[:3]]
        assert len({frame["client_message_id"] for frame in tried}) == 3
        await expect(visit.button(NOT_SENT)).to_have_count(0)
        assert len(opened) == 1


async def test_whoever_writes_faster_than_the_server_takes_it_waits_and_is_told_nothing(browser, tmp_path):
    async with serving(tmp_path, **QUIET, limits={}) as server, visiting(browser, server) as visit:
        refused: list[Frame] = []
        await visit.sockets(to_page=lambda frame, socket: frame["type"] != "error" or not refused.append(frame))
        await enters(visit)
        for content in MANY:
            await visit.writes(content)
        await expect(visit.page.get_by_role("img", name="Sending")).not_to_have_count(0)
        await visit.is_sent(*MANY)
        assert await visit.contents() == visit.written() == MANY
        assert {frame["code"] for frame in refused} == {"rate_limited"}
        await expect(visit.button(NOT_SENT)).to_have_count(0)


@pytest.mark.parametrize("how", ["tap", "Enter", "Space"])
async def test_what_the_server_will_not_have_at_all_is_tried_again_by_a_tap_as_a_new_message(browser, tmp_path, how):
    device = PHONE if how == "tap" else LAPTOP
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server, device) as visit:
        tried: list[Frame] = []
        await visit.sockets(to_server=refuses({"code": "bad_frame"}, tried, times=1))
        await enters(visit)
        await visit.writes("one")
        await visit.is_not_sent("one")
        await visit.writes("two")
        await visit.is_sent("two")
        assert await visit.contents() == ["one", "two"]
        await visit.page.reload()
        await visit.is_not_sent("one")
        assert await visit.contents() == ["two", "one"]
        retry = visit.button(NOT_SENT)
        if how == "tap":
            await visit.own("one").locator(".bubble").tap()
        else:
            await retry.focus()
            await visit.page.keyboard.press(how)
            await expect(visit.page.get_by_role("textbox", name="Message")).to_be_focused()
        await visit.is_sent("one")
        await expect(retry).to_have_count(0)
        assert await visit.contents() == visit.written() == ["two", "one"]
        assert len({frame["client_message_id"] for frame in tried}) == len(tried) == 3


async def test_the_text_of_what_was_not_sent_can_be_selected(browser, tmp_path):
    async with serving(tmp_path, **QUIET) as server, visiting(browser, server, LAPTOP) as visit:
        tried: list[Frame] = []
        await visit.sockets(to_server=refuses({"code": "too_long"}, tried, times=9))
        await enters(visit)
        await visit.writes("a text that was some work")
        await visit.is_not_sent("a text that was some work")
        box = await visit.own("a text that was some work").locator(".content").bounding_box()
        assert box
        await visit.page.mouse.move(box["x"] + 1, box["y"] + 8)
        await visit.page.mouse.down()
        await visit.page.mouse.move(box["x"] + 90, box["y"] + 8)
        await visit.page.mouse.up()
        assert await visit.page.evaluate("getSelection().toString()")
        assert len(tried) == 1


# More than one window


async def test_the_chat_goes_back_and_forth_between_two_windows_and_each_is_told(browser, tmp_path):
    async with serving(tmp_path, experimental=TOKENS, **QUIET) as server, line_to(server) as line:
        async with visiting(browser, line.server) as phone, visiting(browser, line.server, LAPTOP) as laptop:
            (token,) = await tokens_for(tmp_path)
            await enters(phone, token)
            await phone.writes("phone 0")
            await laptop.opens(f"?token={token}")
            await laptop.presses("Back to the chat")
            said = ["phone 0"]
            for number in range(1, 4):
                here, there = (laptop, phone) if number % 2 else (phone, laptop)
                await there.is_at(ELSEWHERE)
                await here.is_in_the_chat()
                said.append(f"round {number}")
                await here.writes(said[-1])
                await here.is_sent(*said)
                assert await here.contents() == here.written() == said
                await there.presses("Use here")
                await there.is_in_the_chat()
                await there.is_sent(*said)
                assert await there.contents() == said
                await here.is_at(ELSEWHERE)
                assert line.sockets == 2 + number


async def test_what_waited_in_one_tab_is_sent_by_the_other_and_drawn_once_in_both(browser, tmp_path):
    async with serving(tmp_path, experimental=TOKENS, **QUIET) as server, line_to(server) as line:
        async with visiting(browser, line.server) as visit:
            (token,) = await tokens_for(tmp_path)
            await enters(visit, token)
            line.goes_dead()
            await visit.writes("waits")
            other = await visit.another_tab()
            await other.opens(f"?token={token}")
            await other.presses("Back to the chat")
            await other.is_sent("waits")
            await happens(visit, "online", after_ms=7_000)
            await visit.is_sent("waits")
            await other.is_at(ELSEWHERE)
            assert await visit.contents() == visit.written() == ["waits"]


async def test_what_waited_when_another_window_was_opened_is_sent_when_this_one_is_used_again(browser, tmp_path):
    async with serving(tmp_path, experimental=TOKENS, **QUIET) as server:
        async with visiting(browser, server) as phone, visiting(browser, server, LAPTOP) as laptop:
            (token,) = await tokens_for(tmp_path)
            opened = await phone.sockets(to_server=lambda frame, _: len(opened) > 1 or frame["type"] != "user_message")
            await enters(phone, token)
            await phone.writes("from the phone")
            await laptop.opens(f"?token={token}")
            await laptop.presses("Back to the chat")
            await laptop.writes("from the laptop")
            await laptop.is_sent("from the laptop")
            await phone.presses("Use here")
            await phone.is_sent("from the laptop", "from the phone")
            assert await phone.contents() == phone.written() == ["from the laptop", "from the phone"]


async def happens(visit: Visit, event: str, *, after_ms: int) -> None:
    """Something that a page is told of, by the clock on the wall so long after now."""
    await visit.page.evaluate(
        """([name, ms]) => {
          const then = Date.now() + ms;
          Date.now = () => then;
          (name === "online" ? window : document).dispatchEvent(new Event(name));
        }""",
        [event, after_ms],
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def is_message(frame: Frame, position: int) -> bool:
    return frame["type"] == "message" and frame["position"] == position


def refuses(error: Frame, tried: list[Frame], *, times: int):
    """Say no to so many messages, as the server does. What is sent goes into `tried`."""

    def passes(frame: Frame, socket: WebSocketRoute) -> bool:
        if frame["type"] != "user_message":
            return True
        tried.append(frame)
        if len(tried) > times:
            return True
        answer = {"type": "error", "message": "no", "client_message_id": frame["client_message_id"]}
        socket.send(json.dumps(answer | error))
        return False

    return passes
