"""The prompts of a session, before there is one: rehearsed, with the very code that asks a model live."""

from __future__ import annotations

from collections.abc import Callable

from experiments.experiment import Condition, Experiment
from experiments.rehearsal import RehearsalProvider, ScriptedParticipant, Tally, rehearsal_start, run_session
from simulation.events import SessionStarted
from simulation.generation import GenerateRequest, Generation, LanguageModel
from simulation.llm.registry import LocalProvider, Provider
from simulation.runtime.clock import run_in_virtual_time


def prompts_of(experiment: Experiment, condition: Condition, agent_name: str, seed: int) -> list[GenerateRequest]:
    """Return what `agent_name` is asked in one rehearsed session, in order."""
    asked = all_prompts(experiment, condition, seed)
    return [request for request in asked if request.scene.agent_name == agent_name]


def all_prompts(experiment: Experiment, condition: Condition, seed: int) -> list[GenerateRequest]:
    """Return what all agents are asked in one rehearsed session, in order."""
    heard: list[GenerateRequest] = []
    provider = _Overheard(RehearsalProvider(experiment), heard.append)
    start = rehearsal_start(experiment, condition, seed, 0)
    session = run_session(start, provider, _NoLog(), Tally(condition.parameters), ScriptedParticipant(start.seed))
    run_in_virtual_time(session)
    return heard


def first_of_each_kind(prompts: list[GenerateRequest]) -> list[GenerateRequest]:
    """Return the first prompt for each cause and act: with messages to see, where there is one."""
    firsts: dict[tuple[str, str], GenerateRequest] = {}
    for request in sorted(prompts, key=lambda each: not each.room.visible):
        firsts.setdefault((request.room.cause, request.room.act), request)
    return sorted(firsts.values(), key=prompts.index)


class _Overheard(LocalProvider):
    def __init__(self, inner: Provider, listen: Callable[[GenerateRequest], None]) -> None:
        self._inner = inner
        self._listen = listen

    def for_session(self, start: SessionStarted) -> LanguageModel:
        return _OverheardModel(self._inner.for_session(start), self._listen)


class _OverheardModel:
    def __init__(self, inner: LanguageModel, listen: Callable[[GenerateRequest], None]) -> None:
        self.provider, self.model = inner.provider, inner.model
        self._inner = inner
        self._listen = listen

    async def generate(self, request: GenerateRequest) -> Generation:
        self._listen(request)
        return await self._inner.generate(request)


class _NoLog:
    def append(self, lines: bytes, kept: Callable[[], None]) -> None:
        kept()

    def close(self) -> None:
        """Nothing is held."""
