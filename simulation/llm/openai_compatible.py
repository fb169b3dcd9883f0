"""Ollama, vLLM, LM Studio, llama.cpp and whatever else speaks OpenAI's wire, through the groq client."""

from __future__ import annotations

from dataclasses import replace

from simulation.generation import FinishReason
from simulation.llm.chat_completions import ChatCompletions
from simulation.llm.endpoint import Endpoint

DUMMY_KEY = "none"
"""Local servers want a key to be sent, and do not look at it."""


class OpenAICompatible(ChatCompletions):
    provider = "openai_compatible"
    address = ""
    path = ""
    parameter_names = {  # noqa: RUF012  declared as ClassVar in the base
        "temperature": "temperature",
        "top_p": "top_p",
        "max_output_tokens": "max_tokens",  # the newer max_completion_tokens is not known to all of them
        "stop": "stop",
        "seed": "seed",
        "reasoning_effort": "reasoning_effort",
    }
    unfinished = FinishReason.STOP  # some never give a reason

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint if endpoint.api_key else replace(endpoint, api_key=DUMMY_KEY))
