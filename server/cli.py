"""`chatroom ...`: the commands."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from server import __version__
from server.errors import InvalidSettings

app = typer.Typer(
    name="chatroom",
    help="A real-time chatroom for research experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot write is no reason to stop
    app()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"chatroom {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """A real-time chatroom for research experiments."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  [default: 8000]")] = None,
    experiment: Annotated[Path | None, typer.Option(help="Folder with the two settings files.")] = None,
    log_dir: Annotated[Path | None, typer.Option(help="Folder for session logs.  [default: logs]")] = None,
    workers: Annotated[int, typer.Option(help="Processes; more than one needs a shared database.", min=1)] = 1,
    allow_demo: Annotated[
        bool | None, typer.Option("--allow-demo", help="Let the token 1234 in from other machines.")
    ] = None,
) -> None:
    """Serve the chatroom."""
    from experiments.errors import InvalidExperiment
    from server.serving import serve
    from server.settings import load_settings

    if workers > 1:
        _stop("--workers: sessions of several processes need a shared database, which this version does not have")
    try:
        serve(load_settings(host=host, port=port, experiment_dir=experiment, log_dir=log_dir, allow_demo=allow_demo))
    except InvalidSettings as error:
        _stop(*error.problems)
    except InvalidExperiment as error:
        _stop(*map(str, error.problems))


@app.command()
def rehearse(
    folder: Annotated[Path, typer.Argument(help="Folder with the two settings files.")] = Path("config"),
    sessions: Annotated[int, typer.Option(help="How many sessions.", min=1)] = 100,
    out: Annotated[Path, typer.Option(help="Folder for their logs.")] = Path("rehearsal"),
    seed: Annotated[int, typer.Option(help="Everything follows from it.", min=0)] = 0,
    model_latency: Annotated[float, typer.Option(help="Seconds that the model takes.", min=0, max=3600)] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Run whole sessions in virtual time and show what they came to."""
    from experiments.errors import InvalidExperiment
    from experiments.experiment import load_experiment
    from server.rehearsing import run
    from server.settings import experiment_folder
    from simulation.errors import GenerationError

    try:
        run(load_experiment(experiment_folder(folder)), sessions, out, seed, model_latency, as_json=as_json)
    except InvalidExperiment as error:
        _stop(*map(str, error.problems))
    except InvalidSettings as error:
        _stop(*error.problems)
    except GenerationError as error:
        _stop(f"language model: {error}")


def _stop(*problems: str) -> NoReturn:
    """Say what is wrong and exit 2."""
    for problem in problems:
        typer.echo(problem, err=True)
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    typer.echo(f"\n{count}; nothing was started.", err=True)
    sys.exit(2)
