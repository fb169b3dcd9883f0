"""What an answer is called, which model gave it, and what a log can hold of it."""

from __future__ import annotations

import pytest

from simulation.generation import MOST_TOKENS, FinishReason, Generation, Usage, checked, is_another_model, status_of


@pytest.mark.parametrize("text", [None, "", " \n\t "], ids=["none", "nothing", "white space"])
@pytest.mark.parametrize(
    ("finish_reason", "status"),
    [
        (FinishReason.STOP, "empty"),
        (FinishReason.LENGTH, "empty"),
        (FinishReason.CUT, "empty"),
        (FinishReason.CONTENT_FILTER, "blocked"),
    ],
)
def test_an_answer_without_text_is_empty_or_was_blocked(text, finish_reason, status):
    assert status_of(Generation(text=text, finish_reason=finish_reason)) == status


@pytest.mark.parametrize(
    ("finish_reason", "status"),
    [
        (FinishReason.STOP, "ok"),
        (FinishReason.LENGTH, "length_cut"),
        (FinishReason.CUT, "truncated"),
        (FinishReason.CONTENT_FILTER, "blocked"),
        ("stop", "ok"),
        ("length", "length_cut"),
        ("cut", "truncated"),
        ("content_filter", "blocked"),
        ("a word of its own", "ok"),
    ],
)
def test_an_answer_with_text_is_called_by_how_it_ended(finish_reason, status):
    assert status_of(Generation(text="hello", finish_reason=finish_reason)) == status


@pytest.mark.parametrize(
    ("requested", "served"),
    [
        ("gemini-2.5-flash", None),
        ("gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-flash", "GEMINI-2.5-Flash"),
        ("gemini-2.0-flash", "gemini-2.0-flash-001"),
        ("gemini-2.5-flash", "gemini-2.5-flash-preview-05-20"),
        ("gemini-2.5-flash", "models/gemini-2.5-flash-preview-09-2025"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4", "gpt-4-0613"),
        ("claude-x", "claude-x@20250514"),
        ("llama3.2", "llama3.2:latest"),
        ("qwen", "qwen-20250101-001"),
    ],
)
def test_a_dated_version_or_a_full_path_is_the_model_that_was_asked_for(requested, served):
    assert not is_another_model(requested, served)


@pytest.mark.parametrize(
    ("requested", "served"),
    [
        ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
        ("gemini-2.5-flash", "models/gemini-2.5-flash-lite"),
        ("gemini-2.5-flash", "gemini-2.5-flash-lite-001"),
        ("gemini-2.5-flash-lite", "gemini-2.5-flash"),
        ("gemini-2.5-flash", "gemini-2.0-flash"),
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o", "gpt-4o-mini-2024-07-18"),
        ("gpt-4", "gpt-4o"),
        ("gpt-4", "gpt-4.1"),
        ("llama3.2:1b", "llama3.2:3b"),
        ("llama-3.1-8b-instant", "llama-3.1-70b-instant"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("small", ""),
    ],
)
def test_another_size_or_another_name_is_another_model(requested, served):
    assert is_another_model(requested, served)


class TestChecked:
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(Generation(text=None), id="no text"),
            pytest.param(Generation(text="half a pair: \ud800"), id="what the log cleans"),
            pytest.param(Generation(text="a", finish_reason=FinishReason.LENGTH), id="a finish reason of ours"),
            pytest.param(Generation(text="a", finish_reason="odd"), id="a finish reason of theirs"),
            pytest.param(Generation(text="a", usage=Usage(input_tokens=0, output_tokens=MOST_TOKENS)), id="tokens"),
            pytest.param(Generation(text="a", served_model="m", request_id="r", reason="SAFETY"), id="names"),
        ],
    )
    def test_returns_what_it_was_given(self, answer):
        assert checked(answer) is answer

    @pytest.mark.parametrize("name", ["text", "finish_reason", "reason", "served_model", "request_id", "source"])
    @pytest.mark.parametrize("value", [5, b"bytes", ["list"], object()], ids=["number", "bytes", "list", "object"])
    def test_refuses_what_is_no_text(self, name, value):
        with pytest.raises(TypeError, match="text is needed"):
            checked(Generation(**({"text": "a"} | {name: value})))

    @pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "thinking_tokens", "cached_tokens"])
    @pytest.mark.parametrize("value", [-1, MOST_TOKENS + 1, 1.5, "3", True], ids=repr)
    def test_refuses_what_is_no_number_of_tokens(self, name, value):
        with pytest.raises(TypeError, match="tokens"):
            checked(Generation(text="a", usage=Usage(**{name: value})))

    @pytest.mark.parametrize(
        "answer",
        [None, "hello", {"text": "hello"}, Generation(text="a", usage=None)],  # type: ignore[arg-type]
        ids=["nothing", "a string", "a dict", "no usage"],
    )
    def test_refuses_what_is_no_generation(self, answer):
        with pytest.raises(TypeError, match="a provider answers with a Generation"):
            checked(answer)
