"""The scripted workforce: a table of role agents that needs no key, for demonstrations, rehearsals and tests.

An answer follows from the session's seed and from what is before the speaker, and from nothing else: no call remembers
another. So a session that is resumed or forked goes on as it would have, and two branches differ only where something
was changed. What is said comes from `workforce.json`; how it is put together, see `workforce_speech`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from simulation.generation import Attempt, FinishReason, GenerateRequest, Generation
from simulation.llm.workforce_script import load_workforce_script
from simulation.llm.workforce_speech import answer_of
from simulation.llm.workforce_summary import summary_of
from simulation.workforce.events import WorkforceStarted
from simulation.workforce.scene import TableScene


class ScriptedWorkforce:
    """Everybody at one session's table. `latency_seconds` is how long each answer takes."""

    provider = "scripted"

    def __init__(self, start: WorkforceStarted, *, model: str, latency_seconds: float = 0.0) -> None:
        self.model = model
        self._seed = start.stream_seed
        self._latency_seconds = latency_seconds
        load_workforce_script()  # the first round is not to be slower than the others

    async def generate(self, request: GenerateRequest) -> Generation:
        """Return the answer of the role in `request.scene`; raise TypeError for a scene that is no table."""
        if not isinstance(request.scene, TableScene):
            raise TypeError(f"a workforce speaks at a table, not in a {type(request.scene).__name__}")
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        generation = Generation(
            text=self._speak(request.scene),
            finish_reason=FinishReason.STOP,
            served_model=self.model,
            source="scripted",
        )
        attempt = Attempt(
            provider=self.provider,
            requested_model=self.model,
            generation=generation,
            parameters=request.parameters,
            latency_ms=round(self._latency_seconds * 1000),
        )
        return replace(generation, attempts=(attempt,))

    def _speak(self, scene: TableScene) -> str:
        answer = summary_of(scene, self._seed) if scene.role is None else answer_of(scene, scene.role, self._seed)
        return json.dumps(answer, ensure_ascii=False)
