"""`chatroom rehearse`: its progress bar and its table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from experiments.experiment import Experiment
from experiments.rehearsal import Tally, rehearse
from experiments.warnings import load_warnings
from server.folders import prepare


def run(experiment: Experiment, sessions: int, out: Path, seed: int, model_latency: float, *, as_json: bool) -> None:
    """Rehearse, write the logs to `out`, and print what they came to."""
    prepare("--out", out, "Logs are written there")
    errors = Console(stderr=True)
    for warning in dict.fromkeys(each for one in experiment.every for each in load_warnings(one, model_latency)):
        errors.print(f"[yellow]Warning:[/] {escape(warning)}")
    with _progress(errors) as progress:
        task = progress.add_task("Rehearsing", total=sessions)
        tallies = rehearse(
            experiment,
            sessions=sessions,
            out=out,
            seed=seed,
            model_latency=model_latency,
            on_session=lambda: progress.advance(task),
        )
    if as_json:
        print(json.dumps(_summary(tallies, sessions, out, seed), ensure_ascii=False, indent=2))  # noqa: T201
    else:
        files = "1 file" if sessions == 1 else f"{sessions:,} files"
        for name, tally in tallies.items():
            if tally.sessions:
                Console().print(_table(tally, f"condition {name}: " if len(tallies) > 1 else ""), "", sep="\n")
        Console().print(escape(f"Logs: {out}/ ({files}, seed {seed})"))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _summary(tallies: Mapping[str, Tally], sessions: int, out: Path, seed: int) -> dict[str, Any]:
    conditions = {name: _figures(tally) for name, tally in tallies.items() if tally.sessions}
    return {"sessions": sessions, "seed": seed, "logs": str(out), "conditions": conditions}


def _figures(tally: Tally) -> dict[str, Any]:
    parameters = tally.parameters
    return {
        "sessions": tally.sessions,
        "messages_per_minute": {
            "configured": parameters.messages_per_minute,
            "delivered": round(tally.delivered_per_minute, 4),
        },
        "agent_messages_per_session": {
            "expected": round(tally.expected_per_session, 3),
            "delivered": round(tally.background_per_session, 3),
        },
        "mean_seconds_from_draw_to_appearance": round(tally.mean_delay_seconds, 3),
        "mean_seconds_without_a_free_agent": round(tally.mean_wait_seconds, 3),
        "reaction_share": {
            "configured": parameters.user_response_probability,
            "delivered": round(tally.reaction_share, 4) if tally.participant_messages else None,
        },
        "participant_messages": tally.participant_messages,
        "stimuli": tally.stimuli,
        "emoji_reactions": tally.emoji_reactions,
        "turns_dropped": dict(tally.dropped),
        "share_by_agent": {name: round(share, 4) for name, share in tally.share_by_agent.items()},
    }


def _table(tally: Tally, title: str) -> Table:
    parameters = tally.parameters
    minutes = parameters.duration_seconds / 60
    sessions = "1 session" if tally.sessions == 1 else f"{tally.sessions:,} sessions"
    table = Table(title=f"{escape(title)}{sessions} of {minutes:g} minutes, rehearsed", title_justify="left")
    table.add_column("")
    table.add_column("configured", justify="right")
    table.add_column("delivered", justify="right")
    rate, delivered = parameters.messages_per_minute, tally.delivered_per_minute
    table.add_row("messages a minute", f"{rate:g}", f"{delivered:.2f}")
    table.add_row(
        "  a session, of their own accord", f"{tally.expected_per_session:.1f}", f"{tally.background_per_session:.1f}"
    )
    table.add_row("  from draw to appearance", "", f"{tally.mean_delay_seconds:.1f} s")
    table.add_row("    with no agent free", "", f"{tally.mean_wait_seconds:.1f} s")
    wanted = parameters.user_response_probability
    share = f"{tally.reaction_share:.1%}" if tally.participant_messages else "no messages"
    table.add_row("reaction share", f"{wanted:.1%}", share)
    table.add_row("  of participant messages", "", f"{tally.participant_messages:,}")
    table.add_row("emoji reactions a session", "", f"{tally.emoji_reactions / tally.sessions:.1f}")
    if parameters.stimuli:
        table.add_row("stimuli a session", f"{len(parameters.stimuli)}", f"{tally.stimuli / tally.sessions:.1f}")
    for reason, count in tally.dropped.items():
        table.add_row(f"turns that came to nothing: {reason}", "", f"{count:,}")
    table.add_section()
    for name, share_of_messages in tally.share_by_agent.items():
        table.add_row(escape(f"messages by {name}"), "", f"{share_of_messages:.1%}")
    return table
