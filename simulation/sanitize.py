"""What a model's text must pass to become a message.

Models sign their lines, quote themselves, format like a document, write the others' parts as well, and remember now
and then that they are models. Each rule here removes one of these habits and is named in the record when it did so;
text that a person could have typed ("and/or", "24/7", snake_case, a URL) comes through untouched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from simulation.parameters import PARTICIPANT

MAX_MESSAGE_CHARACTERS = 1_000
MOST_CHARACTERS_LOOKED_AT = 4 * MAX_MESSAGE_CHARACTERS


class Sanitized(NamedTuple):
    """`content` may be empty: then there was nothing in the text but what had to go."""

    content: str
    rules: tuple[str, ...]


def sanitize(text: str, sender: str, members: Sequence[str]) -> Sanitized:
    """Return `text` as `sender` may post it in a room of `members` (agents and the participant's name)."""
    rules: list[str] = []

    def follow(rule: str, clean: Callable[[str], str]) -> None:
        nonlocal text
        cleaned = clean(text).strip()
        if cleaned != text:
            rules.append(rule)
            text = cleaned

    text = text.strip()
    if _is_plain(text):
        return Sanitized(text, ())
    follow("thinking", lambda t: _THINKING.sub("", t))
    follow("length_cut", lambda t: t[:MOST_CHARACTERS_LOOKED_AT])  # the rules below are not for whole books
    follow("control_characters", lambda t: _CONTROL.sub("", t.replace("\r\n", "\n")))
    follow("code_fence", lambda t: _FENCE.sub("", t))
    follow("quotes", _without_quotes)
    follow("name_prefix", lambda t: _own_prefix(sender).sub("", t))
    follow("other_speakers", lambda t: _before_others(t, sender, tuple(members)))
    follow("ai_disclaimer", _without_disclaimers)
    follow("markdown", _without_markdown)
    follow("quotes", _without_quotes)
    follow("blank_lines", lambda t: _BLANK_LINES.sub("\n", t))
    follow("length_cut", _cut)
    return Sanitized(text, tuple(dict.fromkeys(rules)))


# Most messages have nothing that a rule below could act on, and are done after these two looks.
_SUSPICIOUS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff"
    r"*_`~#\[\]|:：>\"“”„«»‘—–]|^['+\d-]|'$| - "
)
_SUSPICIOUS_WORDS = ("ai", "a.i", "artificial", "language model", "chatbot", "assistant")


def _is_plain(text: str) -> bool:
    if _SUSPICIOUS.search(text) or len(text) > MAX_MESSAGE_CHARACTERS:
        return False
    folded = text.casefold()
    return not any(word in folded for word in _SUSPICIOUS_WORDS)


# Tab and newline stay. Direction overrides and zero-width marks can make a line look like another's; the joiners that
# hold emoji together (U+200D, U+FE0F) stay.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_BLANK_LINES = re.compile(r"(?<![ \t])[ \t]*\n\s*")
# Local models think aloud, between tags; some leave out the first, and a cut answer lacks the last.
_THINKING = re.compile(r"\A.*</think(?:ing)?>|<think(?:ing)?>.*\Z", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^```[\w-]*[ \t]*$\n?", re.MULTILINE)

_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "‘": "’", "'": "'"}


def _without_quotes(text: str) -> str:
    while len(text) >= 2 and _QUOTES.get(text[0]) == text[-1]:
        inner = text[1:-1]
        marks = _APOSTROPHE.sub("", inner)
        if text[0] in marks or text[-1] in marks:
            break  # two quotations, or a quoted word at either end, not one text in quotes
        text = inner.strip()
    return text


# A speaker at the start of a line: Name: / **Name:** / [Name]: / Name (14:03): / <Name> / [14:03] Name:
_DECORATION = r"[*_\[<(\"“]*"
_CLOCK = r"(?:[\[(]?\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?[ap]m)?[\])]?[ ,\-–]*)?"
_AFTER_NAME = r"(?:\s*\([^)\n]{1,20}\))?[*_\])\"”]*\s*(?:[:：][*_\"”]*|>|—(?=\s)|[-–](?=\s))[ \t]*"


@lru_cache(maxsize=1024)
def _own_prefix(sender: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*{_CLOCK}{_DECORATION}@?{re.escape(sender)}{_AFTER_NAME}", re.IGNORECASE | re.MULTILINE)


@lru_cache(maxsize=1024)
def _other_prefix(others: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in sorted(others, key=len, reverse=True))
    after = _AFTER_NAME.replace(r"|—(?=\s)|[-–](?=\s)", "")  # "Bob - did you see?" is one's own line to Bob
    return re.compile(rf"^[ \t]*{_CLOCK}{_DECORATION}(?:{names}){after}", re.IGNORECASE | re.MULTILINE)


_TRANSCRIPT_WORDS = (PARTICIPANT, "Human", "System", "Assistant", "Participant", "Guest")


def _before_others(text: str, sender: str, members: tuple[str, ...]) -> str:
    """Keep what stands before the first line that somebody else is made to say."""
    others = tuple(name for name in (*members, *_TRANSCRIPT_WORDS) if name.casefold() != sender.casefold())
    found = _other_prefix(others).search(text)
    return text[: found.start()] if found else text


_MODELS = r"(?:an? )?(?:AI\b(?!-)|A\.I\.|artificial intelligence|(?:large )?language model|chatbot|virtual assistant)"
_PEOPLE = (
    r"(?! (?:research|engineer|develop|student|teacher|enthusiast|specialist|expert|scientist|critic|fan\b|s[ck]eptic))"
)
_DISCLAIMER = re.compile(
    rf"\b(?:as {_MODELS}{_PEOPLE}|I(?:['’]m| am) (?:just |only |actually |really )?{_MODELS}{_PEOPLE}"
    r"|(?:AI|large|trained) language model\b|AI assistant\b)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?…\n]*(?:\.(?=\w)[^.!?…\n]*)*[.!?…]*\s*")


def _without_disclaimers(text: str) -> str:
    if not _DISCLAIMER.search(text):
        return text
    return "".join(part for part in _SENTENCE.findall(text) if not _DISCLAIMER.search(part))


_MARKDOWN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!\[([^\[\]\n]*)\]\([^()\n]*\)"), r"\1"),  # images
    (re.compile(r"\[([^\[\]\n]+)\]\([^()\n]*\)"), r"\1"),  # links
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$\n?", re.MULTILINE), ""),  # rules
    (re.compile(r"^[ \t]*[*+•-][ \t]+(?=\S)", re.MULTILINE), ""),
    (re.compile(r"```|(?<!`)`([^`\n]+)`(?!`)"), r"\1"),
    (re.compile(r"(\*\*|__)(?=\S)(.{1,300}?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_/])_(?=[^\s_])([^_\n]+?)(?<=\S)_(?![\w_/])"), r"\1"),
    (re.compile(r"~~(?=\S)(.{1,300}?)(?<=\S)~~"), r"\1"),
)


_NUMBERING = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+(?=\S)", re.MULTILINE)


def _without_markdown(text: str) -> str:
    if len(_NUMBERING.findall(text)) > 1:  # one alone may be a date: "5. May suits me"
        text = _NUMBERING.sub("", text)
    for pattern, kept in _MARKDOWN:
        text = pattern.sub(kept, text)
    return text


def _cut(text: str) -> str:
    """Cut a long text where a sentence ends, or else a word."""
    if len(text) <= MAX_MESSAGE_CHARACTERS:
        return text
    head = text[: MAX_MESSAGE_CHARACTERS - 1]  # one is left for the ellipsis
    sentence_end = max(head.rfind(mark) for mark in (". ", "! ", "? ", "… ", "\n"))
    if sentence_end > MAX_MESSAGE_CHARACTERS // 3:
        return head[: sentence_end + 1]
    word_end = head.rfind(" ")
    return f"{head[:word_end] if word_end > 0 else head}…"
