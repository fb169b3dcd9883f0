from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.sanitize import MAX_MESSAGE_CHARACTERS, sanitize

MEMBERS = ("Alice", "Bob", "Anna-Lena", "Dr. O")


def cleaned(text: str, sender: str = "Alice"):
    return sanitize(text, sender, MEMBERS)


@pytest.mark.parametrize(
    "text",
    [
        "Sounds good to me",
        "and/or, 24/7, snake_case_name, 2*3*4, a_b and c_d",
        "see https://example.org/a_b/c?d=e#f_g_h",
        "it's 14:30 already: hurry",
        "5. May suits me",
        'I said "no" and she said "yes"',
        "Bob - did you see that?",
        "my AI researcher friend says hi, she's lovely",
        "I'm an AI engineer by day",
        "ich hab' s gesehen",
        "family 👨‍👩‍👧‍👦 and flag 🏳️‍🌈",
        "two lines\nof mine",
        "Aliceland: a place",
        "#hashtag time",
        "-5 degrees outside",
        "~ish",
        "he assisted the assistant coach",
        "the virtual assistant on my phone is useless",
        "as an AI researcher I'd say no",
        "I'm AI-sceptical",
    ],
)
def test_leaves_alone_what_a_person_could_type(text):
    assert cleaned(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "content", "rule"),
    [
        ("Alice: hi there", "hi there", "name_prefix"),
        ("alice: hi there", "hi there", "name_prefix"),
        ("**Alice:** hi there", "hi there", "name_prefix"),
        ("**Alice**: hi there", "hi there", "name_prefix"),
        ("[Alice]: hi there", "hi there", "name_prefix"),
        ("Alice (14:03): hi there", "hi there", "name_prefix"),
        ("[14:03] Alice: hi there", "hi there", "name_prefix"),
        ("<Alice> hi there", "hi there", "name_prefix"),
        ("Alice - hi there", "hi there", "name_prefix"),
        ("Alice: one\nAlice: two", "one\ntwo", "name_prefix"),
        ('"hi there"', "hi there", "quotes"),
        ("“hi there”", "hi there", "quotes"),
        ("'it's fine'", "it's fine", "quotes"),
        ("«salut»", "salut", "quotes"),
        ('Alice: "hi there"', "hi there", "quotes"),
        ("**hi** there", "hi there", "markdown"),
        ("*hi* there", "hi there", "markdown"),
        ("_hi_ there", "hi there", "markdown"),
        ("~~hi~~ there", "hi there", "markdown"),
        ("`hi` there", "hi there", "markdown"),
        ("# hi there", "hi there", "markdown"),
        ("- hi\n- there", "hi\nthere", "markdown"),
        ("1. hi\n2. there", "hi\nthere", "markdown"),
        ("> hi there", "hi there", "markdown"),
        ("[hi](https://example.org) there", "hi there", "markdown"),
        ("![hi](https://example.org/beacon.png) there", "hi there", "markdown"),
        ("```\nhi there\n```", "hi there", "code_fence"),
        ("<think>\nwhat would she say?\n</think>\n\nhi there", "hi there", "thinking"),
        ("what would she say?</think>hi there", "hi there", "thinking"),
        ("hi there <think>and now", "hi there", "thinking"),
        ("hi\n\n\n there", "hi\nthere", "blank_lines"),
        ("hi there\nBob: hello\nhi again", "hi there", "other_speakers"),
        ("hi there\n**Bob**: hello", "hi there", "other_speakers"),
        ("hi there\nAnna-Lena: hello", "hi there", "other_speakers"),
        ("hi there\nDr. O: hello", "hi there", "other_speakers"),
        ("hi there\nuser: hello", "hi there", "other_speakers"),
        ("As an AI, I have no cat. But I love cats!", "But I love cats!", "ai_disclaimer"),
        ("I love cats! As a large language model I have none.", "I love cats!", "ai_disclaimer"),
        ("I'm just an AI. Cats are nice", "Cats are nice", "ai_disclaimer"),
        ("I am an AI language model", "", "ai_disclaimer"),
        ("hi\u202e there\x07", "hi there", "control_characters"),
        ("hi\u200b there", "hi there", "control_characters"),
    ],
)
def test_removes_the_habit_and_names_the_rule(text, content, rule):
    result = cleaned(text)
    assert result.content == content
    assert rule in result.rules


def test_lines_of_others_alone_leave_nothing():
    assert cleaned("Bob: hello\nBob: again").content == ""


def test_long_text_is_cut_where_a_sentence_ends():
    result = cleaned("A sentence of some length. " * 100)
    assert len(result.content) <= MAX_MESSAGE_CHARACTERS
    assert result.content.endswith("length.")
    assert result.rules == ("length_cut",)


def test_long_text_without_sentences_is_cut_at_a_word():
    result = cleaned("word " * 500)
    assert result.content.endswith("word…")
    assert len(result.content) <= MAX_MESSAGE_CHARACTERS + 1


@given(st.text())
def test_any_text_comes_out_clean_and_is_clean_afterwards(text):
    once = sanitize(text, "Alice", MEMBERS)
    assert once.content == once.content.strip()
    assert "\u202e" not in once.content
    assert len(once.content) <= MAX_MESSAGE_CHARACTERS + 1


@given(st.text("Alice:Bob \n\"*_'`-[]()>#1.", max_size=80))
def test_hostile_mixtures_take_no_time(text):
    sanitize(text * 12, "Alice", MEMBERS)


@pytest.mark.parametrize(
    "text",
    ["[" * 64_000, "**a " * 16_000, "~~a " * 16_000, "[a](" * 16_000, "a" + " " * 32_000 + "b"],
    ids=lambda t: t[:6],
)
def test_a_degenerate_text_is_cut_before_it_is_looked_at(text):
    content = cleaned(f"x{text}x").content
    assert len(content) <= MAX_MESSAGE_CHARACTERS


def test_what_was_thought_aloud_does_not_use_up_the_room_for_what_is_said():
    assert cleaned(f"<think>{'hm ' * 5_000}</think>hi there").content == "hi there"
