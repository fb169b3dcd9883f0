"""Answers that were given before: the very same request to the very same model is not sent, and not paid for, again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import Protocol

import orjson

from simulation.generation import CACHE, USABLE, Attempt, GenerateRequest, Generation, LanguageModel, Usage, status_of


class Answers(Protocol):
    """Where answers are kept, by key."""

    def get(self, key: str) -> Generation | None: ...

    def put(self, key: str, generation: Generation) -> None: ...


class AnswersInMemory:
    """The newest `most` answers, of this process alone; one that is used counts as new."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[str, Generation] = OrderedDict()

    def get(self, key: str) -> Generation | None:
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)

    def put(self, key: str, generation: Generation) -> None:
        self._answers[key] = generation
        self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)


class Cached:
    """A model whose answers are kept. What comes out of the cache has the source `cache`, cost 0 and no tokens."""

    def __init__(self, inner: LanguageModel, answers: Answers) -> None:
        self.provider = inner.provider
        self.model = inner.model
        self._inner = inner
        self._answers = answers

    async def generate(self, request: GenerateRequest) -> Generation:
        key = key_of(self.provider, self.model, request)
        known = self._answers.get(key)
        if known is not None:
            return self._again(known, request)
        generation = await self._inner.generate(request)
        if status_of(generation) in USABLE:
            self._answers.put(key, replace(generation, attempts=()))
        return generation

    def _again(self, known: Generation, request: GenerateRequest) -> Generation:
        said = replace(known, usage=Usage(), request_id=None, source=CACHE)
        attempt = Attempt(
            provider=self.provider,
            requested_model=self.model,
            status=status_of(said),
            generation=said,
            parameters=request.parameters,
            cost=0.0,
        )
        return replace(said, attempts=(attempt,))


def key_of(provider: str, model: str, request: GenerateRequest) -> str:
    """Return the same text for the same prompt, model, parameters and schema, and for nothing else."""
    messages = [[each.role, each.content] for each in request.messages]
    asked = (provider, model, messages, request.parameters, request.schema)
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
