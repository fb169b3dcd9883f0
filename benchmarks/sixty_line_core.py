"""The least that a chat session can be: the yardstick for virtual time.

Five agents, six messages a minute, a tick a second, a window of ten messages, a participant who writes every ten
seconds, canned answers, JSON lines into a buffered file. No validation, no providers, no pacing, no runtime: what is
left when everything that makes it usable is taken away.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import orjson

AGENTS = ("Alice", "Bob", "Charlie", "Diana", "Eve")
TEMPLATE = "You are {name}, a member of a WhatsApp community group. Keep it short.\n{history}\n{name}:"
SECONDS = 900


def run_session(seed: int, log: IO[bytes]) -> None:
    draw = random.Random(seed)
    messages: list[tuple[str, str]] = []
    seq = 0

    def write(elapsed: int, event_type: str, data: dict[str, Any]) -> None:
        nonlocal seq
        seq += 1
        line = {"seq": seq, "elapsed": elapsed, "event_type": event_type, "data": data}
        log.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def post(elapsed: int, sender: str, content: str) -> None:
        messages.append((sender, content))
        write(elapsed, "message", {"sender": sender, "content": content, "position": len(messages)})

    def speak(elapsed: int) -> None:
        name = draw.choice(AGENTS)
        history = "\n".join(f"{sender}: {content}" for sender, content in messages[-10:])
        prompt = TEMPLATE.format(name=name, history=history)
        answer = f"canned answer number {seq} from {name}, about as long as people write"
        write(elapsed, "llm_call", {"agent_name": name, "prompt": prompt, "response": answer, "error": None})
        post(elapsed, name, answer)

    write(0, "session_start", {"seed": seed})
    for tick in range(SECONDS):
        if tick % 10 == 5:
            post(tick, "user", f"message of the participant at {tick}")
            if draw.random() < 0.7:
                speak(tick)
        if draw.random() < 6 / 60:
            speak(tick)
    write(SECONDS, "session_end", {"reason": "duration_expired"})


def sessions_per_second(sessions: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for seed in range(sessions):
            with (Path(folder) / f"{seed}.json").open("wb") as log:
                run_session(seed, log)
        return sessions / (time.perf_counter() - started)


if __name__ == "__main__":
    print(f"{sessions_per_second(300):.0f} sessions a second")
