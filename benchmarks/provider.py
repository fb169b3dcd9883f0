"""A provider that costs next to nothing, so that what is measured is the cost of asking.

`python -m benchmarks.provider PORT SECONDS` answers after SECONDS (`inf`: never) on the wire of Gemini and on that of
chat completions, always the same. Any GET tells how many calls there were.
"""

from __future__ import annotations

import asyncio
import re
import sys
from math import inf
from typing import Any

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

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"


def response(value: object) -> bytes:
    body = orjson.dumps(value)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


ANSWERS = {
    wire: response(answer(Asked(wire, 1, MODELS[provider], PROMPT), SAID))
    for wire, provider in ((GEMINI, "gemini"), (CHAT, "groq"))
}


class Caller(asyncio.Protocol):
    """One connection: its requests come one after another."""

    calls = 0
    seconds = 0.0

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
        answer = ANSWERS[CHAT if b"/chat/completions " in head else GEMINI]
        if self.seconds == 0:
            self._transport.write(answer)
        elif self.seconds < inf:
            asyncio.get_running_loop().call_later(self.seconds, self._reply, answer)

    def _reply(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int, seconds: float) -> None:
    Caller.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Caller, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
