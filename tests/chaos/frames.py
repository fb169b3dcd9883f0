"""Frames as no client of ours sends them, drawn from a seed: whole, half-whole, broken, and meant to break things."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

TOO_BIG = 64 * 1024 + 1
TYPES = ("user_message", "reaction", "report", "typing", "seen", "hello")
ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**53, 10**17, 1.5, "", " ", "x" * 101, "x" * 4001, [], [[]], {}, {"a": {}}, ["Alice"],
    "\u2028", "\u202e", "\ufeff", "🏳️‍🌈" * 10, "<script>", "../../etc/passwd", "{agent_name}", "%s%n", "user",
)  # fmt: skip
BROKEN = (
    "", " ", "null", "[]", "{", "}", '"', "true", "0", "-", "[" * 60_000, '{"a":' * 10_000, "NaN", "Infinity",
    '{"type":"seen","position":NaN}', '{"type":"seen","position":1e999}', '{"type":"seen","position":-Infinity}',
    '{"type":"seen","position":' + "9" * 5000 + "}", '{"type":"seen","type":"leave"}',
    '{"type":"user_message","content":"\\ud800"}', '{"type":"user_message","content":"\\udfff\\ud800"}',
    '{"type":"user_message","content":"a\\u0000b"}', '{"type":"user_message","content":"raw \x00 zero"}',
    '{"type":"user_message","content":"x","client_message_id":"\\ud800"}', '\ufeff{"type":"typing"}',
    '{"type":"user_message","content":"x"} trailing', "{'type':'typing'}", '{"type":"user_message","content":"\n"}',
)  # fmt: skip


class Frames:
    """`next()` is the next frame; `said` has ids and contents of what the server takes, `too_big` counts those after
    which it closes.
    """

    def __init__(self, seed: object) -> None:
        self.said: dict[str, str] = {}
        self.too_big = 0
        self._random = Random(f"frames:{seed}")
        self._kinds: dict[Callable[[], str | bytes], float] = {
            self._whole: 10,
            self._again: 10,
            self._conflicting: 5,
            self._half_whole: 40,
            self._broken: 15,
            self._garbage: 10,
            self._binary: 5,
            self._unknown: 5,
            self._too_big: 0.2,
        }

    def __iter__(self) -> Iterator[str | bytes]:
        return self

    def __next__(self) -> str | bytes:
        (kind,) = self._random.choices([*self._kinds], [*self._kinds.values()])
        return kind()

    def _whole(self) -> str:
        sent_id = f"id-{len(self.said)}-{self._random.getrandbits(32):x}"
        self.said[sent_id] = f"message {len(self.said)} of {sent_id}"
        return self._message(sent_id, self.said[sent_id])

    def _again(self) -> str:
        if not self.said:
            return self._whole()
        sent_id = self._random.choice([*self.said])
        return self._message(sent_id, self.said[sent_id])

    def _conflicting(self) -> str:
        return self._message(self._random.choice([*self.said]), "something else") if self.said else self._broken()

    def _half_whole(self) -> str:
        frame: dict[str, Any] = {"type": self._random.choice(TYPES), "content": 7, "position": 1, "message_id": "none"}
        for name in self._random.sample([*frame, "reply_to", "mentions", "emoji", "client_message_id", "extra"], 3):
            frame[name] = self._random.choice(ODD_VALUES)
        if self._random.random() < 0.2:
            del frame["type"]
        if frame.get("type") == "user_message" and isinstance(frame["content"], str) and not frame.get("reply_to"):
            frame["reply_to"] = "none"  # or it would be whole
        return json.dumps(frame, ensure_ascii=self._random.random() < 0.5)

    def _broken(self) -> str:
        return self._random.choice(BROKEN)

    def _garbage(self) -> str:
        length = int(10 ** self._random.uniform(0, 4))
        return "".join(self._random.choices('{}[]",:\\ntrue\u0000\u2029é😀', k=length))

    def _binary(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 100, 10_000)))

    def _unknown(self) -> str:
        return json.dumps({"type": self._random.choice(("Leave", "leave ", "welcome", "session_end", "", "__proto__"))})

    def _too_big(self) -> str:
        self.too_big += 1
        return json.dumps({"type": "user_message", "content": "x" * TOO_BIG})

    def _message(self, sent_id: str, content: str) -> str:
        return json.dumps({"type": "user_message", "content": content, "client_message_id": sent_id})
