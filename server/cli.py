"""`chatroom ...`: the commands."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from server import __version__
from server.errors import InvalidSettings

if TYPE_CHECKING:
    from experiments.experiment import Experiment
    from server.models import Settled
    from server.settings import ServerSettings

app = typer.Typer(
    name="chatroom",
    help="A real-time chatroom for research experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


UNSTARTED = "nothing was started"


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


Provider = Annotated[str | None, typer.Option(help="gemini, groq or openai_compatible.  [default: the settings']")]
Model = Annotated[str | None, typer.Option(help="The provider's name for it.  [default: the settings']")]
Folder = Annotated[Path, typer.Option(help="Folder with the two settings files.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


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
    from server.serving import serve
    from server.settings import load_settings

    if workers > 1:
        _stop(
            "--workers: sessions of several processes need a shared database, which this version does not have",
            outcome=UNSTARTED,
        )
    with _problems_told(UNSTARTED):
        serve(load_settings(host=host, port=port, experiment_dir=experiment, log_dir=log_dir, allow_demo=allow_demo))


@app.command()
def new(
    name: Annotated[Path, typer.Argument(help="The folder to make; its name becomes the experiment's id.")],
    like: Annotated[str, typer.Option(help="Which example: civility, factorial or minimal.")] = "civility",
) -> None:
    """Make a folder for an experiment of your own, after an example."""
    from server.making import make

    with _problems_told():
        make(name, like)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with the two settings files.")] = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with an experiment, or show what differs in it and what it will come to."""
    from server.checking import check
    from server.settings import experiment_folder

    with _problems_told("serve would refuse to start"):
        if not check(experiment_folder(folder), as_json=as_json):
            sys.exit(2)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The folder that was preregistered.")],
    new: Annotated[Path, typer.Argument(help="The folder as it is now.")] = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Show what changed in an experiment. Exits 0 if sessions run on the same in both, 1 if not."""
    from server.diffing import diff
    from server.settings import experiment_folder

    with _problems_told("nothing was compared"):
        if not diff(old, experiment_folder(new), as_json=as_json):
            sys.exit(1)


@app.command()
def rehearse(
    folder: Annotated[Path, typer.Argument(help="Folder with the two settings files.")] = Path("config"),
    sessions: Annotated[int, typer.Option(help="How many sessions.", min=1)] = 100,
    out: Annotated[Path, typer.Option(help="Folder for their logs.")] = Path("rehearsal"),
    seed: Annotated[int, typer.Option(help="Everything follows from it.", min=0)] = 0,
    model_latency: Annotated[float, typer.Option(help="Seconds that the model takes.", min=0, max=3600)] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Run whole sessions in virtual time and show what they came to."""
    from experiments.experiment import load_experiment
    from server.rehearsing import run
    from server.settings import experiment_folder

    with _problems_told():
        run(load_experiment(experiment_folder(folder)), sessions, out, seed, model_latency, as_json=as_json)


@app.command()
def ask(
    text: Annotated[list[str] | None, typer.Argument(help="What to ask.  [default: for a hello]")] = None,
    provider: Provider = None,
    model: Model = None,
    experiment: Folder = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Make one call of a model and show all of it: does my key work?"""
    from server.asking import ask

    with _problems_told():
        settings, chosen = _settled(experiment, provider, model)
        if not ask(settings, chosen, " ".join(text or ["Say hello in five words."]), as_json=as_json):
            sys.exit(1)


@app.command()
def models(experiment: Folder = Path("config"), as_json: AsJson = False) -> None:
    """List the models that the configured keys may use, and say whether the settings' is among them."""
    from server.asking import list_models

    with _problems_told():
        settings, chosen = _settled(experiment, None, None, strictly=False)
        if not list_models(settings, chosen.experiment, as_json=as_json):
            sys.exit(1)


@app.command()
def prompt(
    folder: Annotated[Path, typer.Argument(help="Folder with the two settings files.")] = Path("config"),
    condition: Annotated[str | None, typer.Option(help="In which condition.  [default: the first]")] = None,
    agent: Annotated[str | None, typer.Option(help="Whose prompts.  [default: the first agent's]")] = None,
    seed: Annotated[int, typer.Option(help="Of the rehearsed session.", min=0)] = 0,
    every: Annotated[bool, typer.Option("--all", help="Every prompt, not the first of each kind.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what an agent's model is told, in a rehearsed session."""
    from experiments.experiment import load_experiment
    from server.prompting import show
    from server.settings import experiment_folder

    with _problems_told():
        show(load_experiment(experiment_folder(folder)), condition, agent, seed, every=every, as_json=as_json)


@app.command()
def replay(
    logs: Annotated[list[Path], typer.Argument(help="Logs of sessions.")],
    as_json: AsJson = False,
) -> None:
    """Re-execute sessions from their logs, with the model's recorded answers, and compare every record."""
    from server.replaying import run

    with _problems_told():
        if not run(logs, as_json=as_json):
            sys.exit(1)


@app.command()
def verify(
    logs: Annotated[list[Path], typer.Argument(help="Logs of sessions, or folders of them.")],
    as_json: AsJson = False,
) -> None:
    """Say whether logs are as they were written. Exits 1 if not, and names the lines; nothing is changed."""
    from server.verifying import run

    with _problems_told("what is no log was not verified"):
        if not run(logs, as_json=as_json):
            sys.exit(1)


@app.command("fake-llm")
def fake_llm(
    port: Annotated[int, typer.Option(help="Port to listen on, on this machine alone.", min=0, max=65535)] = 9000,
    behaviour: Annotated[str, typer.Option(help="How it answers until told otherwise.")] = "ok",
    latency: Annotated[float, typer.Option(help="Seconds that an answer takes.", min=0, max=3600)] = 0.5,
    model: Annotated[list[str] | None, typer.Option(help="A model that it has; may be given several times.")] = None,
) -> None:
    """Serve a fake provider that speaks like Gemini, Groq and local servers, and fails as told."""
    from server.fakellm.serving import serve

    with _problems_told():
        serve("127.0.0.1", port, behaviour, latency, model)


tokens = typer.Typer(help="Links for participants: make, list and revoke them.", no_args_is_help=True)
app.add_typer(tokens, name="tokens")
Experiments = Annotated[Path | None, typer.Option(help="Folder with the two settings files.  [default: config]")]


@tokens.command("create")
def create_tokens(
    number: Annotated[int, typer.Option("--n", help="How many.", min=1, max=100_000)],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for tokens and links (CSV).")],
    condition: Annotated[str | None, typer.Option(help="Fixes their condition.  [default: by assignment]")] = None,
    expires: Annotated[str | None, typer.Option(help="Until when one may begin with them, e.g. 2026-12-31.")] = None,
    short: Annotated[bool, typer.Option("--short", help="Codes that people can type; need --expires.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Address of the page in the links.  [default: from HOST, PORT]")
    ] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Draw a QR code of each link.")] = False,
    experiment: Experiments = None,
) -> None:
    """Make tokens, each good for one session."""
    from server import tokens

    with _problems_told():
        settings, loaded = _opened(experiment)
        address = url or f"http://{settings.host}:{settings.port}"
        tokens.create(
            settings,
            loaded,
            number=number,
            condition=condition,
            expires=expires,
            are_short=short,
            out=out,
            address=address,
            with_codes=qr,
        )


@tokens.command("list")
def list_tokens(experiment: Experiments = None, as_json: AsJson = False) -> None:
    """List tokens by number: what has become of each. Their text is known to who has it alone."""
    from server import tokens

    with _problems_told():
        tokens.show(*_opened(experiment), as_json=as_json)


@tokens.command("revoke")
def revoke_tokens(
    given: Annotated[list[str] | None, typer.Argument(metavar="[TOKEN]...", help="Tokens, or their links.")] = None,
    number: Annotated[
        list[int] | None, typer.Option(min=1, max=2**31, help="By number, as `list` has it; may be repeated.")
    ] = None,
    experiment: Experiments = None,
) -> None:
    """Let tokens in no more. A session that runs goes on."""
    from server import tokens

    with _problems_told():
        if not tokens.revoke(*_opened(experiment), given or [], number or []):
            sys.exit(1)


participant = typer.Typer(help="Somebody's data: erase it, or export it for them.", no_args_is_help=True)
app.add_typer(participant, name="participant")
Code = "Participant or session id, token or its link, or the panel's id."


@participant.command("delete")
def delete_participant(
    codes: Annotated[list[str] | None, typer.Argument(metavar="[CODE]...", help=Code)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    expired: Annotated[bool, typer.Option("--expired", help="Everybody whose time is over by retain_days.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show who is --expired, erase nothing.")] = False,
    experiment: Experiments = None,
    as_json: AsJson = False,
) -> None:
    """Erase what somebody wrote and who they are, and prove it. Exits 0 if nothing of theirs was found afterwards."""
    from server import erasing
    from simulation.runtime.clock import wall_time

    def confirm(what: str) -> bool:
        return yes or typer.confirm(what, err=True)

    if dry_run and not expired:
        _stop("--dry-run goes with --expired: who is named is shown and asked about anyway", outcome="nothing was done")
    if bool(codes) == expired:
        _stop("name whom to erase, or else --expired (with or without --dry-run)", outcome="nothing was done")
    with _problems_told():
        settings, loaded = _opened(experiment)
        if expired:
            is_done = erasing.delete_expired(
                settings, loaded, wall_time(), is_dry_run=dry_run, confirm=confirm, as_json=as_json
            )
        else:
            is_done = erasing.delete(settings, loaded, codes or [], confirm=confirm, as_json=as_json)
        if not is_done:
            sys.exit(1)


@participant.command("export")
def export_participant(
    code: Annotated[str, typer.Argument(metavar="CODE", help=Code)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the two files.")] = Path(),
    experiment: Experiments = None,
) -> None:
    """Write all that is kept of somebody, as JSON and to be read: for their right of access."""
    from server import exporting

    with _problems_told():
        if not exporting.export(*_opened(experiment), code, out):
            sys.exit(1)


@app.command()
def sessions(
    panel_ids: Annotated[Path | None, typer.Option(help="Write to this file (CSV) which session is whose.")] = None,
    experiment: Experiments = None,
    as_json: AsJson = False,
) -> None:
    """List the sessions of an experiment: condition, place in the list, state, outcome, times."""
    from server import indexing

    with _problems_told():
        if panel_ids is not None:
            indexing.linkage(*_opened(experiment), panel_ids)
        else:
            indexing.sessions(*_opened(experiment), as_json=as_json)


@app.command()
def assignment(
    verify: Annotated[bool, typer.Option("--verify", help="Compare the list with what happened.")] = False,
    places: Annotated[int, typer.Option("--n", help="How many places of the list to show.", min=1, max=10_000)] = 40,
    stratum: Annotated[
        list[str] | None,
        typer.Option(help="Whose list, by parameter of the link; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    experiment: Experiments = None,
    as_json: AsJson = False,
) -> None:
    """Show by which list participants come to their conditions, or verify that they did."""
    from server import indexing

    with _problems_told():
        if not verify:
            indexing.assignment(*_opened(experiment), places, _pairs("--stratum", stratum), as_json=as_json)
        elif not indexing.verify_assignment(*_opened(experiment), as_json=as_json):
            sys.exit(1)


@app.command()
def blinding(
    url: Annotated[str, typer.Argument(help="Address of a running server, e.g. http://127.0.0.1:8000")],
    token: Annotated[str | None, typer.Option(help="What to start a session with.  [default: 1234]")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a panel's link; may be repeated.", metavar="NAME=VALUE")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to listen in the chat.", min=1, max=3600)] = 30,
    experiment: Experiments = None,
    as_json: AsJson = False,
) -> None:
    """Take part in a running server's chat and look whether anything in all that it sends gives the study away.

    This starts a session, which takes a place of the list and of a quota like any participant's: serve a copy with
    another experiment_id for it, or do it before you recruit.
    """
    from server import blinding

    with _problems_told():
        settings, loaded = _opened(experiment)
        credential = {"token": token or "1234", "parameters": _pairs("--parameter", parameter)}
        if not blinding.run(url, loaded, settings.secrets, credential, seconds, as_json=as_json):
            sys.exit(1)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    if wrong := [each for each in given or [] if "=" not in each]:
        raise InvalidSettings([f"{option}: {wrong[0]!r} is not allowed: NAME=VALUE"])
    return dict(each.split("=", 1) for each in given or [])


def _opened(folder: Path | None) -> tuple[ServerSettings, Experiment]:
    """Return the settings, and the experiment whatever model speaks in it."""
    from experiments.experiment import load_experiment
    from server.settings import load_settings

    settings = load_settings(experiment_dir=folder)
    return settings, load_experiment(settings.experiment_folder)


def _settled(
    folder: Path, provider: str | None, model: str | None, *, strictly: bool = True
) -> tuple[ServerSettings, Settled]:
    """Return the settings, and the experiment with the model that they settle on."""
    from experiments.experiment import load_experiment
    from server import models
    from server.settings import load_settings

    settings = load_settings(experiment_dir=folder, llm_provider=provider, llm_model=model)
    chosen = models.settled(settings, load_experiment(settings.experiment_folder), strictly=strictly)
    return settings, chosen


@contextlib.contextmanager
def _problems_told(outcome: str = "nothing was done") -> Iterator[None]:
    """Say what is wrong with settings, files or a model, and exit 2."""
    from experiments.errors import ExperimentsError, InvalidExperiment
    from simulation.errors import GenerationError

    try:
        yield
    except InvalidSettings as error:
        _stop(*error.problems, outcome=outcome)
    except InvalidExperiment as error:
        _stop(*map(str, error.problems), outcome=outcome)
    except ExperimentsError as error:
        _stop(str(error), outcome=outcome)
    except GenerationError as error:
        _stop(f"language model: {error}", outcome=outcome)


def _stop(*problems: str, outcome: str) -> NoReturn:
    """Say what is wrong and exit 2."""
    for problem in problems:
        typer.echo(problem, err=True)
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    typer.echo(f"\n{count}; {outcome}.", err=True)
    sys.exit(2)
