"""Groq, through its own client. Wire: https://console.groq.com/docs/api-reference#chat-create"""

from __future__ import annotations

from simulation.generation import FinishReason
from simulation.llm.chat_completions import COMMON_PARAMETERS, ChatCompletions


class Groq(ChatCompletions):
    provider = "groq"
    address = "https://api.groq.com"
    path = "/openai/v1"
    parameter_names = COMMON_PARAMETERS | {"max_output_tokens": "max_completion_tokens"}
    unfinished = FinishReason.CUT
