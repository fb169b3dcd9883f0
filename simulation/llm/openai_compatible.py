"""Ollama, vLLM, LM Studio, llama.cpp and whatever else speaks OpenAI's wire, through the groq client."""

from __future__ import annotations

from simulation.generation import FinishReason
from simulation.llm.chat_completions import COMMON_PARAMETERS, ChatCompletions


class OpenAICompatible(ChatCompletions):
    provider = "openai_compatible"
    address = ""
    path = ""
    # The newer max_completion_tokens is not known to all of them.
    parameter_names = COMMON_PARAMETERS | {"max_output_tokens": "max_tokens"}
    unfinished = FinishReason.STOP  # some never give a reason
