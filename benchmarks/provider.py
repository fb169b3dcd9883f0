"""A provider that costs next to nothing, so that what is measured is the cost of asking.

`python -m benchmarks.provider PORT SECONDS [structured]` answers after SECONDS (`inf`: never) on the wire of Gemini and
on that of chat completions, always the same: a chat line, or (`structured`) what a role and a coordinator could say in
JSON. Any GET tells how many calls there were.
"""

from __future__ import annotations

import asyncio
import re
import sys
from math import inf
from typing import Any, ClassVar

import orjson
import uvloop

from server.fakellm.wire import CHAT, GEMINI, Asked, Said, answer

MODELS = {
    "gemini": "gemini-2.5-flash",
    "groq": "llama-3.1-8b-instant",
    "openai_compatible": "llama-3.1-8b-instant",
}
PROMPT = "some words " * 125
SAID = Said("Could be, I will have a look later and let you all know 😊")
TASKS = [
    {"task_name": f"Task {n}", "status": "planned", "estimated_effort_hours": 8 * n, "dependencies": [f"Task {n - 1}"]}
    for n in range(1, 4)
]
STRUCTURED = Said(
    orjson.dumps(
        {
            "response": "I would begin with the part that is new to us. " * 4,
            "reasoning": "It decides about the rest.",
            "actions": ["Try the new part first", "Write down what would make us stop"],
            "directed_to": ["pm"],
            "confidence": 0.7,
            "risks": ["It takes longer than we think"],
            "tasks": TASKS,
            "summary": "The table agrees to begin with the part that is new to it.",
            "next_action": "Try it",
        }
    ).decode()
)

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"


def response(value: object) -> bytes:
    body = orjson.dumps(value)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answers(said: Said) -> dict[str, bytes]:
    wires = ((GEMINI, "gemini"), (CHAT, "groq"))
    return {wire: response(answer(Asked(wire, 1, MODELS[provider], PROMPT), said)) for wire, provider in wires}


class Caller(asyncio.Protocol):
    """One connection: its requests come one after another."""

    calls = 0
    seconds = 0.0
    answers: ClassVar[dict[str, bytes]] = answers(SAID)

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.WriteTransport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END)
        length = _LENGTH.search(head)
        if end and len(body) >= int(length[1] if length else 0):
            self._received = b""
            self._asked(head)

    def _asked(self, head: bytes) -> None:
        if not head.startswith(b"POST"):
            self._transport.write(response({"calls": Caller.calls}))
            return
        Caller.calls += 1
        answer = self.answers[CHAT if b"/chat/completions " in head else GEMINI]
        if self.seconds == 0:
            self._transport.write(answer)
        elif self.seconds < inf:
            asyncio.get_running_loop().call_later(self.seconds, self._reply, answer)

    def _reply(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int, seconds: float, kind: str = "chat") -> None:
    Caller.seconds = seconds
    Caller.answers = answers(STRUCTURED if kind == "structured" else SAID)
    server = await asyncio.get_running_loop().create_server(Caller, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]))
