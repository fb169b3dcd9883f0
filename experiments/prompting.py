"""The prompts of a session, before there is one: rehearsed, with the very code that asks a model live."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from experiments.experiment import Experiment
from experiments.rehearsal import ScriptedParticipant, Tally, rehearsal_provider, rehearsal_start, run_session
from simulation.events import SessionStarted
from simulation.generation import GenerateRequest, Generation, LanguageModel
from simulation.llm.registry import LocalProvider, Provider
from simulation.runtime.clock import run_in_virtual_time


class Asked(NamedTuple):
    """What an agent's model is asked, and what the stand-in answered (None: nothing)."""

    request: GenerateRequest
    answer: str | None

    @property
    def kind(self) -> tuple[str, str]:
        return self.request.scene.cause, self.request.scene.act


def prompts_of(experiment: Experiment, agent_name: str, seed: int) -> list[Asked]:
    """Return what `agent_name` is asked in one rehearsed session, in order."""
    heard: list[Asked] = []
    provider = _Overheard(rehearsal_provider(experiment), heard.append)
    start = rehearsal_start(experiment, seed, 0)
    session = run_session(start, provider, _NoLog(), Tally(experiment.parameters), ScriptedParticipant(start.seed))
    run_in_virtual_time(session)
    return [asked for asked in heard if asked.request.scene.agent_name == agent_name]


def first_of_each_kind(prompts: list[Asked]) -> list[Asked]:
    """Return the first prompt for each cause and act: with messages to see, where there is one."""
    with_messages = sorted(prompts, key=lambda asked: not asked.request.scene.visible)
    firsts: dict[tuple[str, str], Asked] = {}
    for asked in with_messages:
        firsts.setdefault(asked.kind, asked)
    return sorted(firsts.values(), key=prompts.index)


class _Overheard(LocalProvider):
    def __init__(self, inner: Provider, listen: Callable[[Asked], None]) -> None:
        self._inner = inner
        self._listen = listen

    def for_session(self, start: SessionStarted) -> LanguageModel:
        return _OverheardModel(self._inner.for_session(start), self._listen)


class _OverheardModel:
    def __init__(self, inner: LanguageModel, listen: Callable[[Asked], None]) -> None:
        self.provider, self.model = inner.provider, inner.model
        self._inner = inner
        self._listen = listen

    async def generate(self, request: GenerateRequest) -> Generation:
        generation = await self._inner.generate(request)
        self._listen(Asked(request, generation.text))
        return generation


class _NoLog:
    def append(self, lines: bytes, kept: Callable[[], None]) -> None:
        kept()

    def close(self) -> None:
        """Nothing is held."""
