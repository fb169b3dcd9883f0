"""`chatroom ask` and `chatroom models`: does my key work, and what may it be used for?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.experiment import Experiment
from server import models
from server.errors import InvalidSettings
from server.settings import ServerSettings
from simulation.errors import GenerationError
from simulation.generation import USABLE, Attempt, ChatMessage, GenerateRequest, Scene, is_another_model, is_version_of
from simulation.llm.endpoint import Adapter, Endpoint
from simulation.llm.pricing import PriceList
from simulation.llm.registry import NEEDED, WIRE, adapters_for, choices_of
from simulation.parameters import ModelChoice

LIST_SECONDS = 20.0

HOW_TO_CHOOSE = f"Set one of {', '.join(NEEDED.values())} and LLM_MODEL, in .env say."
SHOWN_CHARACTERS = 2_000
ADVICE = {
    "auth": "The key was refused. Look whether {variable} holds it whole; else make a new one with the provider.",
    "quota_exhausted": "The quota of this key is used up. Wait for the next day, or raise it with the provider.",
    "rate_limited": "Too many calls a minute. language_model.requests_per_minute keeps the agents below a limit.",
    "rejected": "The provider does not take this request. Is the model's name right? `chatroom models` lists them.",
    "unavailable": "The provider cannot be reached, or is out of order. Is the address right, the network there?",
    "timeout": "No answer in language_model.attempt_seconds. A smaller model, or one that thinks less, is faster.",
    "bad_response": "Something answered, but not the provider: a proxy or a sign-in page, perhaps.",
    "empty": "No text came. If the model thinks, language_model.max_output_tokens must leave room for it.",
    "length_cut": "The answer was cut at language_model.max_output_tokens.",
    "blocked": "The provider's filter withheld the answer.",
    "truncated": "The answer broke off without a finish reason.",
}


# One call


def ask(settings: ServerSettings, settled: models.Settled, text: str, *, as_json: bool) -> bool:
    """Make one call and print it; return whether there was an answer."""
    experiment, why = settled
    choice = experiment.parameters.language_model
    if choice.provider not in WIRE:
        raise InvalidSettings([f"nobody to ask: the agents would speak by {choice.provider} ({why}). {HOW_TO_CHOOSE}"])
    prices = models.prices(experiment.folder)
    adapter = adapters_for([choice.provider], models.endpoints(settings))[choice.provider]
    seconds = experiment.parameters.gateway.attempt_seconds
    attempt = asyncio.run(_asked(adapter, choice, prices, seconds, text))
    if as_json:
        print(json.dumps(_as_json(attempt, text), ensure_ascii=False, indent=2))  # noqa: T201
    else:
        _show(attempt, text, prices)
    return attempt.status in USABLE


async def _asked(adapter: Adapter, choice: ModelChoice, prices: PriceList, seconds: float, text: str) -> Attempt:
    from simulation.llm.gateway import Measured, Told

    model = Told(Measured(adapter.model(choice.model), seconds, prices), choice)
    scene = Scene(agent_name="", members=(), act="message", cause="background")
    request = GenerateRequest(session_id="", turn_id="", messages=(ChatMessage("user", text),), scene=scene)
    try:
        return (await model.generate(request)).attempts[-1]
    except GenerationError as error:
        return error.attempts[-1]
    finally:
        await adapter.close()


def _as_json(attempt: Attempt, text: str) -> dict[str, Any]:
    return {"prompt": text, **asdict(attempt)}


def _show(attempt: Attempt, text: str, prices: PriceList) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in _rows(attempt, text, prices).items():
        table.add_row(f"[bold]{name}[/]", escape(value))
    console = Console(highlight=False)
    console.print(table)
    for remark in _remarks(attempt):
        console.print(f"\n{remark}", style="yellow", soft_wrap=True)


def _remarks(attempt: Attempt) -> Iterator[str]:
    served = attempt.generation.served_model if attempt.generation else None
    if is_another_model(attempt.requested_model, served):
        yield f"Another model answered: {served!r}. What happens then in a session is language_model.on_model_mismatch."
    if attempt.status in ADVICE:
        yield _advice(attempt.status, attempt.provider)


def _advice(status: str, provider: str) -> str:
    advice = ADVICE.get(status, "").format(variable=NEEDED[provider])
    if status in ("rejected", "bad_response") and provider == "openai_compatible":
        advice += f" Does {NEEDED[provider]} end in /v1, as most of these servers want it?"
    return advice


def _rows(attempt: Attempt, text: str, prices: PriceList) -> dict[str, str]:
    generation = attempt.generation
    parameters = ", ".join(f"{name} {value}" for name, value in attempt.parameters.items())
    rows = {"asked": f"{attempt.provider}: {attempt.requested_model}", "parameters": parameters or "none", "text": text}
    if generation is None:
        return rows | {"status": _status(attempt), "error": attempt.error or "", "time": _time(attempt)}
    usage = generation.usage
    counts = {"in": usage.input_tokens, "out": usage.output_tokens, "thinking": usage.thinking_tokens}
    return rows | {
        "answer": _shortened(generation.text or ""),
        "status": _status(attempt),
        "served by": generation.served_model or "(not said)",
        "finish": f"{generation.finish_reason}{f' ({generation.reason})' if generation.reason else ''}",
        "tokens": ", ".join(f"{count:,} {name}" for name, count in counts.items() if count is not None) or "(not said)",
        "time": _time(attempt),
        "cost": _cost(attempt, prices),
    }


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text):,} characters)"


def _time(attempt: Attempt) -> str:
    return f"{attempt.latency_ms / 1000:.2f} s"


def _status(attempt: Attempt) -> str:
    return attempt.status if attempt.http_status is None else f"{attempt.status} (HTTP {attempt.http_status})"


def _cost(attempt: Attempt, prices: PriceList) -> str:
    price = prices.price(attempt.provider, attempt.requested_model)
    if attempt.cost is not None:
        return f"{attempt.cost:.6f} {prices.currency} (price as of {price.as_of if price else prices.date})"
    if price is None:
        return f"unknown: {models.PRICES_FILE} has no price for {attempt.requested_model}"
    return "unknown: the provider did not count the tokens"


# All models


class Listed(NamedTuple):
    """What a provider offers this key, or why it offers nothing."""

    provider: str
    models: tuple[str, ...] = ()
    problem: GenerationError | None = None


def list_models(settings: ServerSettings, experiment: Experiment, *, as_json: bool) -> bool:
    """Ask every provider that has a key for its models and print them; return whether the settings' are among them."""
    endpoints = models.endpoints(settings)
    if not endpoints:
        raise InvalidSettings([f"no provider can be asked. {HOW_TO_CHOOSE}"])
    listed = asyncio.run(_listed(endpoints))
    named = [choice for choice in choices_of(*experiment.every) if choice.provider in WIRE]
    lists = {each.provider for each in listed if each.problem is None}
    gone = [choice for choice in named if choice.provider in lists and not _is_listed(choice, listed)]
    if as_json:
        print(json.dumps(_list_as_json(listed, named, gone), ensure_ascii=False, indent=2))  # noqa: T201
    else:
        _show_list(listed, named, gone, models.prices(experiment.folder))
    return not gone and all(each.problem is None for each in listed)


async def _listed(endpoints: Mapping[str, Endpoint]) -> list[Listed]:
    adapters = adapters_for(endpoints, endpoints)
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(_list_of(adapter)) for adapter in adapters.values()]
    return [each.result() for each in asking]


async def _list_of(adapter: Adapter) -> Listed:
    try:
        async with asyncio.timeout(LIST_SECONDS):
            return Listed(adapter.provider, await adapter.models())
    except TimeoutError:
        return Listed(adapter.provider, problem=GenerationError(f"no answer in {LIST_SECONDS:g} s", kind="timeout"))
    except GenerationError as error:
        return Listed(adapter.provider, problem=error)
    finally:
        await adapter.close()


def _is_listed(choice: ModelChoice, listed: list[Listed]) -> bool:
    offered = (name for each in listed if each.provider == choice.provider for name in each.models)
    return any(is_version_of(name, choice.model) for name in offered)


def _list_as_json(listed: list[Listed], named: list[ModelChoice], gone: list[ModelChoice]) -> dict[str, Any]:
    return {
        "providers": [
            {
                "provider": each.provider,
                "usable": each.problem is None,
                "problem": str(each.problem) if each.problem else None,
                "models": each.models,
            }
            for each in listed
        ],
        "named_by_the_settings": [f"{choice.provider}:{choice.model}" for choice in named],
        "gone": [f"{choice.provider}:{choice.model}" for choice in gone],
    }


def _show_list(listed: list[Listed], named: list[ModelChoice], gone: list[ModelChoice], prices: PriceList) -> None:
    console = Console(highlight=False)
    table = Table()
    for name in ("provider", "model", f"{prices.currency} in", "out", "as of", ""):
        table.add_column(name, justify="right" if name in (f"{prices.currency} in", "out") else "left")
    for each in listed:
        for name in each.models:
            price = prices.price(each.provider, name)
            costs = (f"{price.input:g}", f"{price.output:g}", price.as_of) if price else ("", "", "")
            is_named = any(_is_listed(choice, [Listed(each.provider, (name,))]) for choice in named)
            table.add_row(each.provider, escape(name), *costs, "the settings' model" if is_named else "")
    if table.row_count:
        console.print(table, "Prices are for a million tokens.", sep="\n")
    for each in listed:
        if each.problem is not None:
            advice = _advice(each.problem.kind, each.provider)
            console.print(
                f"[red]{each.provider} cannot be used:[/] {escape(str(each.problem))}\n{advice}", soft_wrap=True
            )
    for choice in gone:
        found = f"{choice.provider} does not offer {escape(choice.model)}" if choice.model else "no model is named"
        advice = "agents would be silent. Name one of these in LLM_MODEL or language_model.model."
        console.print(f"[red]{found}[/]: {advice}", soft_wrap=True)
