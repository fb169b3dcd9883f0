"""A participant's way in and way out in a browser: codes, links, consent, reloads, withdrawal, and what is due then."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect
from servers import serving
from studies import tokens_for
from visits import LAPTOP, PANEL_SITE, PHONE, Visit, visiting

from simulation.events import SessionEnded

pytestmark = pytest.mark.browser

PARTICIPANT = Path(__file__).parents[2] / "server" / "static" / "participant"
LONG = "\n\n".join(f"*{number}.* {'What you should know before you take part. ' * 8}" for number in range(1, 12))
CONSENT = {"version": "3", "text": "We *keep* what you write.\nAsk _us_, or [read on](https://lab.example/study)."}
WELCOME = {"text": "The others are there already.", "button": "Go in"}
DEBRIEFING = {"title": "What it was about", "text": "They were machines."}
OPEN: dict[str, Any] = {"entry": {"mode": "open"}}
PANEL: dict[str, Any] = {
    "entry": {"mode": "panel", "panel": "prolific"},
    "completion": {
        "completed": {"code": "C-DONE", "url": PANEL_SITE + "/done?cc={code}"},
        "withdrawn": {"code": "C-LEFT"},
        "declined": {"code": "C-NO"},
        "technical": {"code": "C-TECH"},
    },
}
TOLD = PANEL | {"screens": {"consent": CONSENT, "welcome": WELCOME, "debriefing": DEBRIEFING}}
CARD = {
    "headline": "Bus line 12 to be closed",
    "source": "valley.example",
    "text": "The council votes on Thursday. " * 20,
}
ANN, BEN = "?PROLIFIC_PID=ann&STUDY_ID=s1", "?PROLIFIC_PID=ben&STUDY_ID=s1"
SHORT = {"session_duration_minutes": 0.05}
BLOCKED_STORAGE = """Object.defineProperty(window, "sessionStorage", {
  get() { throw new DOMException("blocked", "SecurityError"); } });"""


# In


async def test_a_wrong_code_is_told_before_anything_is_read_and_the_right_one_lets_in(browser, tmp_path):
    design = {"entry": {"mode": "tokens"}, "screens": {"consent": CONSENT}}
    async with serving(tmp_path, experimental=design) as server, visiting(browser, server) as visit:
        await visit.opens()
        await visit.types_code("1234")
        await expect(visit.page.get_by_role("alert")).to_have_text("This code is not valid. Please check it.")
        await expect(visit.page.get_by_label("Access code")).to_be_focused()
        (token,) = await tokens_for(tmp_path)
        await visit.types_code(token)
        await visit.is_at("Before you take part")
        assert not visit.sessions()
        await visit.presses("I agree and take part")
        await visit.is_in_the_chat()


async def test_a_link_with_a_token_that_is_not_valid_leads_to_the_form(browser, tmp_path):
    design = {"entry": {"mode": "tokens"}}
    async with serving(tmp_path, experimental=design) as server, visiting(browser, server) as visit:
        await visit.opens("?token=cut-of")
        await expect(visit.page.get_by_role("alert")).to_have_text("This code is not valid. Please check it.")
        await expect(visit.page.get_by_label("Access code")).to_have_value("cut-of")


async def test_whoever_has_the_address_is_invited_and_begins_with_the_button(browser, tmp_path):
    async with serving(tmp_path, experimental=OPEN, group_name="Mill Lane") as server:
        async with visiting(browser, server) as visit:
            await visit.opens()
            await visit.is_at("Mill Lane")
            await expect(visit.page.locator("#card .card-text")).to_have_text(re.compile("You have been invited"))
            assert not visit.sessions()
            await visit.presses("Join the chat")
            await visit.is_in_the_chat()
            assert len(visit.sessions()) == 1


async def test_a_panels_link_leads_through_consent_and_welcome_into_the_chat(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server) as visit:
        await visit.opens(f"{ANN}&lang=en")
        await visit.is_at("Before you take part")
        assert visit.page.url == f"{server.http}/?lang=en"
        await expect(visit.page.locator(".card-body strong")).to_have_text("keep")
        await expect(visit.page.locator(".card-body em")).to_have_text("us")
        link = visit.page.get_by_role("link", name="read on")
        assert [await link.get_attribute(name) for name in ("href", "target", "rel")] == [
            "https://lab.example/study",
            "_blank",
            "noopener noreferrer",
        ]
        await visit.presses("I agree and take part")
        await visit.is_at("Welcome")
        assert not visit.sessions()
        await visit.presses("Go in")
        await visit.is_in_the_chat()


async def test_the_keyboard_is_enough_from_the_consent_into_the_chat(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server, LAPTOP) as visit:
        keyboard = visit.page.keyboard
        await visit.opens(ANN)
        await visit.is_at("Before you take part")
        await keyboard.press("Tab")
        await expect(visit.page.get_by_role("link", name="read on")).to_be_focused()
        await keyboard.press("Tab")
        await keyboard.press("Enter")
        await visit.is_at("Welcome")
        await keyboard.press("Tab")
        await keyboard.press("Space")
        await expect(visit.page.get_by_role("textbox", name="Message")).to_be_focused()
        await keyboard.type("hello")
        await keyboard.press("Enter")
        await expect(visit.page.locator(".message.own")).to_have_text(re.compile("hello"))


async def test_whoever_declines_gets_no_session_and_is_told_the_same_after_a_reload(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server) as visit:
        await visit.opens(ANN)
        await visit.presses("I do not take part")
        await visit.is_at("You have not taken part")
        await expect(visit.code).to_have_text("C-NO")
        await visit.page.reload()
        await visit.is_at("You have not taken part")
        await expect(visit.code).to_have_text("C-NO")
        assert not visit.sessions()


async def test_declining_is_kept_where_there_is_nothing_to_go_by_but_the_tab(browser, tmp_path):
    design = OPEN | {"screens": {"consent": CONSENT}}
    async with serving(tmp_path, experimental=design) as server, visiting(browser, server) as visit:
        await visit.opens()
        await visit.presses("I do not take part")
        await visit.is_at("You have not taken part")
        await expect(visit.page.get_by_text("Thank you. You can close this page now.")).to_be_visible()
        await visit.page.reload()
        await visit.is_at("You have not taken part")


@pytest.mark.parametrize("query", ["", "?STUDY_ID=s1", "?PROLIFIC_PID=", "?PROLIFIC_PID={{%PROLIFIC_PID%}}"])
async def test_a_panels_link_that_does_not_say_who_comes_is_told_as_such(browser, tmp_path, query):
    async with serving(tmp_path, experimental=PANEL) as server, visiting(browser, server) as visit:
        await visit.opens(query)
        await visit.is_at("This link is not complete")
        await expect(visit.page.get_by_text("Please open it again from the page that invited you.")).to_be_visible()


async def test_outside_the_opening_hours_that_is_told_and_may_be_tried_again(browser, tmp_path):
    design = {"entry": {"mode": "open", "opens_at": "2099-01-01T00:00:00Z"}}
    async with serving(tmp_path, experimental=design) as server, visiting(browser, server) as visit:
        await visit.opens()
        await visit.presses("Join the chat")
        await visit.is_at("The chat is not open")
        await expect(visit.page.locator("#card .card-text")).to_have_text(
            re.compile("opens on 01 January 2099 at 00:00")
        )
        await visit.presses("Try again")
        await visit.is_at("The chat is not open")


async def test_after_too_many_wrong_codes_it_is_said_how_long_to_wait(browser, tmp_path):
    settings = {"start_failures_per_minute": 1}
    async with serving(tmp_path, settings=settings) as server, visiting(browser, server) as visit:
        await visit.page.clock.install()
        await visit.opens()
        await visit.types_code("1")
        await expect(visit.page.get_by_role("alert")).to_have_text("This code is not valid. Please check it.")
        await visit.types_code("2")
        await visit.is_at("Too many attempts")
        await expect(visit.page.get_by_text("You can try again in 1 min.")).to_be_visible()
        await expect(visit.button("Try again")).to_be_disabled()
        await visit.page.clock.run_for(61_000)
        await visit.presses("Try again")
        await expect(visit.page.get_by_label("Access code")).to_be_visible()


async def test_without_a_connection_that_is_told_and_the_consent_is_not_asked_for_again(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server) as visit:
        await visit.opens(ANN)
        await visit.presses("I agree and take part")
        await visit.is_at("Welcome")
        await visit.page.context.set_offline(True)
        await visit.presses("Go in")
        await visit.is_at("There is no connection")
        await visit.page.context.set_offline(False)
        await visit.presses("Try again")
        await visit.is_in_the_chat()


# Back


async def test_a_reload_in_the_middle_comes_back_into_the_same_chat(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server) as visit:
        await enters(visit, ANN)
        await visit.writes("before the reload")
        await visit.page.reload()
        await expect(visit.page.locator(".message.own")).to_contain_text("before the reload")
        assert len(visit.sessions()) == 1


async def test_whoever_has_begun_is_led_back_by_a_button_and_the_other_window_is_told(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD) as server:
        async with visiting(browser, server) as phone, visiting(browser, server, LAPTOP) as laptop:
            await enters(phone, ANN)
            await phone.writes("on the phone")
            await laptop.opens(ANN)
            await laptop.is_at("You have begun already")
            await phone.writes("still here")
            await laptop.presses("Back to the chat")
            await expect(laptop.page.locator(".message.own")).to_have_count(2)
            await phone.is_at("The chat is open somewhere else")
            assert len(phone.sessions()) == 1


async def test_after_the_end_the_same_id_is_told_what_is_due_again(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD, **SHORT) as server:
        async with visiting(browser, server) as visit, visiting(browser, server, LAPTOP) as later:
            await enters(visit, ANN)
            for each in (visit, later):
                if each is later:
                    await each.opens(ANN)
                await each.is_at("The time is up")
                await expect(each.page.get_by_role("heading", name="What it was about")).to_be_visible()
                await expect(each.page.get_by_text("They were machines.")).to_be_visible()
                await expect(each.code).to_have_text("C-DONE")
                link = each.page.get_by_role("link", name="Continue")
                await expect(link).to_have_attribute("href", f"{PANEL_SITE}/done?cc=C-DONE")
                await expect(each.page.get_by_text("You will be taken back")).to_have_count(0)


async def test_whose_chat_a_stopped_server_interrupted_is_led_back_into_it_by_the_next(browser, tmp_path):
    await says_hello_before_the_server_stops(browser, tmp_path)
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server) as visit:
        await visit.opens(ANN)
        await visit.is_at("You have begun already")
        await visit.presses("Back to the chat")
        await expect(visit.page.locator(".message.own")).to_contain_text("hello")
        assert len(visit.sessions()) == 1


async def test_whose_session_cannot_go_on_is_given_the_code_for_it(browser, tmp_path):
    (session,) = await says_hello_before_the_server_stops(browser, tmp_path)
    (tmp_path / "logs" / f"{session}.json").unlink()
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server) as visit:
        await visit.opens(ANN)
        await visit.is_at("The chat has ended")
        await expect(visit.code).to_have_text("C-TECH")
        await expect(visit.page.get_by_text("They were machines.")).to_be_visible()


async def says_hello_before_the_server_stops(browser, folder: Path) -> list[str]:
    async with serving(folder, experimental=TOLD) as server, visiting(browser, server) as visit:
        await enters(visit, ANN)
        await visit.writes("hello")
        await expect(visit.page.locator(".message.own:not(.pending)")).to_be_visible()
        return visit.sessions()


async def test_where_storage_is_blocked_the_way_back_is_in_the_address(browser, tmp_path):
    async with serving(tmp_path, experimental=PANEL) as server, visiting(browser, server) as visit:
        await visit.page.add_init_script(BLOCKED_STORAGE)
        await visit.opens(ANN)
        await visit.presses("Join the chat")
        await visit.writes("hello")
        await visit.page.reload()
        await visit.is_at("You have begun already")
        await visit.presses("Back to the chat")
        await expect(visit.page.locator(".message.own")).to_contain_text("hello")


async def test_another_link_in_the_same_tab_is_another_participants(browser, tmp_path):
    async with serving(tmp_path, experimental=PANEL) as server, visiting(browser, server) as visit:
        await enters(visit, ANN, "Join the chat")
        await enters(visit, BEN, "Join the chat")
        assert len(visit.sessions()) == 2


# Out


async def test_whoever_wants_to_leave_is_asked_and_may_stay_or_leave(browser, tmp_path):
    async with serving(tmp_path, experimental=TOLD) as server, visiting(browser, server) as visit:
        await enters(visit, ANN)
        await visit.presses("Leave the study")
        await expect(visit.page.get_by_role("dialog")).to_have_accessible_name(re.compile("Do you want to stop"))
        await expect(visit.button("Stay")).to_be_focused()
        await visit.page.keyboard.press("Escape")
        await expect(visit.page.get_by_role("dialog")).to_be_hidden()
        await expect(visit.button("Leave the study")).to_be_focused()
        await visit.writes("I stay for now")
        await visit.presses("Leave the study")
        await visit.presses("Leave")
        await visit.is_at("You have left the chat")
        await expect(visit.page.get_by_text("They were machines.")).to_be_visible()
        await expect(visit.code).to_have_text("C-LEFT")
        (session,) = visit.sessions()
        end = server.log_of(session)[-1].event
        assert isinstance(end, SessionEnded)
        assert end.reason == "withdrawn"


async def test_where_no_withdrawal_is_offered_there_is_no_button(browser, tmp_path):
    design = OPEN | {"withdrawal": {"offered": False}}
    async with serving(tmp_path, experimental=design) as server, visiting(browser, server) as visit:
        await enters(visit, "", "Join the chat")
        await expect(visit.page.locator("#withdraw")).to_be_hidden()


async def test_without_a_debriefing_one_is_taken_on_after_a_while(browser, tmp_path):
    async with serving(tmp_path, experimental=PANEL, **SHORT) as server, visiting(browser, server) as visit:
        await visit.page.clock.install()
        await enters(visit, ANN, "Join the chat")
        await visit.is_at("The time is up")
        await expect(visit.page.get_by_text("You will be taken back in")).to_be_visible()
        await visit.page.clock.run_for(10_000)
        await visit.page.wait_for_url(f"{PANEL_SITE}/done?cc=C-DONE")


async def test_whoever_wants_to_stay_stays_and_copies_the_code(browser, tmp_path):
    async with serving(tmp_path, experimental=PANEL, **SHORT) as server, visiting(browser, server, LAPTOP) as visit:
        await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await enters(visit, ANN, "Join the chat")
        await visit.is_at("The time is up")
        await visit.presses("Stay here")
        await expect(visit.page.get_by_text("You will be taken back")).to_have_count(0)
        await visit.presses("Copy")
        await expect(visit.button("Copied")).to_be_visible()
        assert await visit.page.evaluate("navigator.clipboard.readText()") == "C-DONE"
        await visit.page.get_by_role("link", name="Continue").click()
        await visit.page.wait_for_url(f"{PANEL_SITE}/done?cc=C-DONE")


async def test_whoever_is_offline_at_the_end_is_told_what_is_due_when_they_are_back(browser, tmp_path):
    async with serving(tmp_path, experimental=PANEL, **SHORT) as server, visiting(browser, server) as visit:
        await enters(visit, ANN, "Join the chat")
        await visit.page.context.set_offline(True)
        await server.end_of(visit.sessions()[0])
        await visit.is_in_the_chat()
        await visit.page.context.set_offline(False)
        await visit.is_at("The time is up")
        await expect(visit.code).to_have_text("C-DONE")


async def test_while_what_is_due_cannot_be_had_the_page_waits_calmly(browser, tmp_path):
    async with serving(tmp_path, experimental=PANEL, **SHORT) as server, visiting(browser, server) as visit:
        await enters(visit, ANN, "Join the chat")
        await visit.page.route("**/session/start", lambda route: route.abort("internetdisconnected"))
        await visit.is_at("The time is up")
        await expect(visit.page.get_by_text("Please keep this page open for a moment.")).to_be_visible()
        await visit.page.unroute("**/session/start")
        await expect(visit.code).to_have_text("C-DONE", timeout=15_000)


# What it looks like


async def test_a_news_card_is_drawn_and_quoted_by_its_headline(browser, tmp_path):
    design = OPEN | {"stimuli": [{"at_seconds": 0, "agent": "Bob", "card": CARD}]}
    async with serving(tmp_path, experimental=design) as server, visiting(browser, server, LAPTOP) as visit:
        await enters(visit, "", "Join the chat")
        card = visit.page.locator(".message .news")
        for part in ("source", "headline", "text"):
            await expect(card.locator(f".news-{part}")).to_have_text(CARD[part].strip())
        text = card.locator(".news-text")
        assert await text.evaluate("each => each.scrollHeight <= each.clientHeight + 1"), "whole on every device"
        await expect(visit.page.locator("#announcer")).to_have_text(f"Bob: {CARD['headline']}")
        await card.hover()
        await visit.presses("Reply")
        await expect(visit.page.locator(".composer-quote .quote-text")).to_have_text(CARD["headline"])
        await visit.writes("where is that from?")
        await expect(visit.page.locator(".message.own .quote-text")).to_have_text(CARD["headline"])
        await visit.page.reload()
        await expect(card.locator(".news-headline")).to_have_text(CARD["headline"])
        await expect(visit.page.locator(".message.own .quote-text")).to_have_text(CARD["headline"])


@pytest.mark.parametrize("device", [PHONE, LAPTOP], ids=["phone", "laptop"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_screen_is_legible_and_its_buttons_are_in_reach(browser, tmp_path, device, theme):
    screens = {"consent": CONSENT | {"text": LONG}, "welcome": WELCOME, "debriefing": DEBRIEFING | {"text": LONG}}
    stimuli = [{"at_seconds": 0, "agent": "Bob", "card": CARD}]
    design = PANEL | {"screens": screens, "stimuli": stimuli}
    async with serving(tmp_path, experimental=design) as server:
        async with visiting(browser, server, device | {"color_scheme": theme}) as visit:
            await visit.opens()
            await visit.is_at("This link is not complete")
            await is_legible(visit)
            await visit.opens(ANN)
            await visit.is_at("Before you take part")
            await is_legible(visit, "I agree and take part", "I do not take part")
            await visit.page.keyboard.press("End")
            await expect(visit.page.locator(".card-body p").last).to_be_in_viewport()
            await visit.presses("I agree and take part")
            await visit.is_at("Welcome")
            await is_legible(visit, "Go in")
            await visit.presses("Go in")
            await expect(visit.page.locator(".news")).to_be_visible()
            await is_legible(visit, "Leave the study")
            await visit.presses("Leave the study")
            await is_legible(visit, "Stay", "Leave")
            await visit.presses("Leave")
            await visit.is_at("You have left the chat")
            await is_legible(visit, "Copy")


@pytest.mark.parametrize("size", [(320, 568), (640, 256)], ids=["small", "enlarged"])
async def test_nothing_is_out_of_reach_on_little_space(browser, tmp_path, size):
    device = {"viewport": {"width": size[0], "height": size[1]}}
    async with serving(tmp_path, experimental=TOLD, group_name="A very long name of a group") as server:
        async with visiting(browser, server, device) as visit:
            await visit.opens(ANN)
            await visit.is_at("Before you take part")
            await visit.presses("I agree and take part")
            await visit.presses("Go in")
            await visit.is_in_the_chat()
            assert await visit.page.evaluate("document.documentElement.scrollWidth") <= size[0]
            await visit.presses("Leave the study")
            await visit.presses("Leave")
            await expect(visit.button("Copy")).to_be_visible()


ANSWERS: list[tuple[int, dict[str, Any], str, str, str]] = [
    (200, {"session_id": "x"}, "look", "tokens", "begun"),
    (200, {"session_id": "x"}, "resume", "tokens", "room"),
    (200, {"session_id": "x"}, "start", "tokens", "room"),
    (200, {"completion": {}}, "decline", "panel", "end"),
    (401, {"error": "unauthorized"}, "look", "tokens", "code"),
    (401, {"error": "unauthorized"}, "start", "demo", "code"),
    (422, {"error": "validation_error"}, "look", "tokens", "code"),
    (422, {"error": "validation_error"}, "look", "panel", "This link is not complete"),
    (404, {"error": "not_started"}, "look", "panel", "first"),
    (404, {"error": "not_started"}, "resume", "panel", "The chat was interrupted"),
    (409, {"error": "session_over", "completion": {}}, "look", "panel", "end"),
    (403, {"error": "study_full", "completion": {}}, "start", "open", "end"),
    (403, {"error": "not_open", "message": "Come back later."}, "look", "panel", "The chat is not open"),
    (403, {"error": "consent_required"}, "start", "panel", "This page has changed"),
    (429, {"error": "too_many_failures"}, "look", "tokens", "Too many attempts"),
    (503, {"error": "study_paused"}, "start", "open", "The chat is paused"),
    (503, {"error": "not_admitting"}, "start", "open", "Please wait a moment"),
    (500, {"error": "internal_error"}, "start", "open", "The chat could not be opened"),
    (0, {}, "look", "panel", "There is no connection"),
]


async def test_every_answer_of_the_server_has_its_screen(browser, tmp_path):
    async with serving(tmp_path) as server, visiting(browser, server) as visit:
        await visit.opens()
        entry = await visit.page.locator("link[href$='/entry.js']").get_attribute("href")
        shown = await visit.page.evaluate(
            """async ([entry, answers]) => {
              const { screenFor } = await import(entry);
              return answers.map(([status, body, asked, mode]) => {
                const screen = screenFor({ status, body, retryAfter: 0 }, asked, mode);
                return screen.notice?.title ?? screen.name;
              });
            }""",
            [entry, [answer[:4] for answer in ANSWERS]],
        )
        assert shown == [answer[4] for answer in ANSWERS]


@pytest.mark.parametrize(("kind", "most"), [("js", 25_000), ("css", 8_000)])
def test_the_page_is_light(kind, most):
    files = list(PARTICIPANT.glob(f"*.{kind}"))
    assert len(files) <= 8
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= most


async def enters(visit: Visit, query: str, button: str = "Go in") -> None:
    """Come by a link and take part."""
    await visit.opens(query)
    agree = visit.button("I agree and take part")
    await expect(agree.or_(visit.button(button))).to_be_visible()
    if await agree.is_visible():
        await agree.click()
    await visit.presses(button)
    await visit.is_in_the_chat()


async def is_legible(visit: Visit, *buttons: str) -> None:
    assert await visit.pale_texts() == []
    assert await visit.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for label in buttons:
        await expect(visit.button(label)).to_be_in_viewport(ratio=1)
