"""A whole client of chatroom.v1: it says what it is told to, and prints what is said until the session is over.

    python docs/protocol_client.py http://127.0.0.1:8000 1234 "Hello everybody!" "How are you?"

docs/protocol.md explains it.
"""

import asyncio
import contextlib
import json
import random
import sys
import urllib.request
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

FINAL_CODES = {1000, 4401, 4404, 4409, 4410}
PAUSES = {1013: 15, 4429: 60}
SILENCE_SECONDS = 12


class Client:
    def __init__(self, url):
        self.url, self.position = url, 0
        self.outbox = {}  # client_message_id -> frame, oldest first; gone once its echo is there
        self.live = None  # the socket, once the backlog has come

    async def post(self, content):
        name = str(uuid.uuid4())
        self.outbox[name] = {"type": "user_message", "content": content, "client_message_id": name}
        if len(self.outbox) == 1:
            await self.send_oldest()

    async def send_oldest(self):
        """One is on its way at a time, so that none overtakes another that has to wait."""
        if self.live and self.outbox:
            with contextlib.suppress(ConnectionClosed):  # it is sent again when the line is back
                await self.live.send(json.dumps(next(iter(self.outbox.values()))))

    async def run(self):
        """Come back for as long as the session is not over; return the close code that ended it."""
        self.attempts = 0
        while (code := await self.talk()) not in FINAL_CODES:
            if code == 1009 and self.outbox:
                self.fail(next(iter(self.outbox)), "too big")
            await asyncio.sleep(PAUSES.get(code, 0) + random.uniform(0, min(15, 0.5 * 2**self.attempts)))
            self.attempts += 1
        return code

    async def talk(self):
        """Return the close code of one connection; None if it was lost without."""
        try:
            async with connect(self.url, subprotocols=["chatroom.v1"], close_timeout=1) as socket:
                await socket.send(json.dumps({"type": "hello", "after": self.position}))
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        frame = json.loads(await socket.recv())
                    if frame["type"] == "backlog_end":
                        self.live, self.attempts = socket, 0
                        await self.send_oldest()
                    await self.take(frame)
        except (OSError, WebSocketException) as lost:  # a TimeoutError is an OSError
            return lost.rcvd.code if isinstance(lost, ConnectionClosed) and lost.rcvd else None
        finally:
            self.live = None

    async def take(self, frame):
        match frame:
            case {"type": "message", "position": position}:
                if position > self.position:  # else it is an echo that came before
                    self.position = position
                    print(f"{frame['sender']}: {frame['content']}", flush=True)
                if self.outbox.pop(frame.get("client_message_id"), None):
                    await self.send_oldest()
            case {"type": "reaction", "position": position}:
                self.position = max(self.position, position)
            case {"type": "error", "client_message_id": name, "code": code}:
                if code in ("rate_limited", "not_stored"):
                    await asyncio.sleep(frame.get("retry_after", 1))
                else:
                    self.fail(name, frame["message"])
                await self.send_oldest()

    def fail(self, name, why):
        if frame := self.outbox.pop(name, None):
            print(f"not sent ({why}): {frame['content']}", flush=True)


def start(server, token):
    body, headers = json.dumps({"token": token}).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{server}/session/start", body, headers)) as answer:
        return Client(json.load(answer)["websocket_url"])


async def main(client, *contents):
    for content in contents:
        await client.post(content)
    print("closed:", await client.run())


if __name__ == "__main__":
    server, token, *contents = sys.argv[1:]
    asyncio.run(main(start(server, token), *contents))
