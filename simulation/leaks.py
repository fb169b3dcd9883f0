"""What no member of the room may say, however it is put: a model that forgets its part gives the study away.

`sanitize` takes habits out of a text and leaves the rest; here the whole text goes, and another agent gets the turn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

QUOTED_WORDS = 8
"""So many words in a row that also stand in the agent's own instructions are no coincidence."""

NEVER = r"(?!)"

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_IN_QUOTES = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|„[^“\n]*“|«[^»\n]*»")


def leak_in(content: str, sender: str, members: Sequence[str], deny_list: Sequence[str], prompt: str) -> str | None:
    """Return the rule that `content` breaks, if it breaks one; `prompt` is what the agent was told to be."""
    if deny_list and _any_of(tuple(deny_list)).search(_folded(content)):
        return "deny_list"
    if _takes_anothers_name(content, sender, tuple(members)):
        return "another_identity"
    if not _runs_of_words(prompt).isdisjoint(_runs(content)):
        return "prompt_leak"
    return None


@lru_cache(maxsize=64)
def _any_of(phrases: tuple[str, ...]) -> re.Pattern[str]:
    folded = [_folded(phrase).split() for phrase in phrases]
    words = [r"[\s_-]+".join(map(re.escape, each)) for each in folded if each]  # of some phrases, nothing can be seen
    return re.compile("|".join(rf"(?<!\w){each}(?!\w)" for each in words) or NEVER)


def _folded(text: str) -> str:
    """Without what a reader overlooks: case, width, and marks that cannot be seen."""
    if not text.isascii():
        text = "".join(each for each in unicodedata.normalize("NFKC", text) if unicodedata.category(each) != "Cf")
    return text.casefold()


def _takes_anothers_name(content: str, sender: str, members: tuple[str, ...]) -> bool:
    return any(found[1] != sender for found in _introduction(members).finditer(content))


@lru_cache(maxsize=256)
def _introduction(members: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in sorted(members, key=len, reverse=True))
    # "I'm Bob's neighbour" and "I am Bob Marley's biggest fan" are about Bob, "I'm Bob" claims to be him. Names are
    # looked for as they are written, since somebody may be called Rich, and "I'm rich" is no claim to be them.
    return re.compile(rf"\b(?:[Ii]['’]?m|[Ii] am|[Mm]y name is)\s+[@\"“]?({names})(?= here|[^\w\s'’-]|\s*$)")


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return {tuple(words[start : start + QUOTED_WORDS]) for start in range(len(words) - QUOTED_WORDS + 1)}


@lru_cache(maxsize=512)
def _runs_of_words(prompt: str) -> frozenset[tuple[str, ...]]:
    """What stands in quotation marks is meant to be said."""
    return frozenset(run for part in _IN_QUOTES.split(prompt) for run in _runs(part))
