"""Groq, through its own client. Wire: https://console.groq.com/docs/api-reference#chat-create"""

from __future__ import annotations

from simulation.generation import FinishReason
from simulation.llm.chat_completions import ChatCompletions


class Groq(ChatCompletions):
    provider = "groq"
    address = "https://api.groq.com"
    path = "/openai/v1"
    parameter_names = {  # noqa: RUF012  declared as ClassVar in the base
        "temperature": "temperature",
        "top_p": "top_p",
        "max_output_tokens": "max_completion_tokens",
        "stop": "stop",
        "seed": "seed",
        "reasoning_effort": "reasoning_effort",
    }
    unfinished = FinishReason.CUT
