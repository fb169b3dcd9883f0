"""`POST /session/start` and `/session/decline`: what a participant brings, and what they get for it."""

from __future__ import annotations

import logging
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from experiments.entry import parameter_problems
from experiments.errors import (
    AlreadyBegun,
    ConsentNeeded,
    NoRoom,
    NotAdmitted,
    NotOpen,
    NotStarted,
    SessionOver,
    StoreError,
    StudyFull,
    UnknownCredential,
)
from experiments.experiment import Experiment
from experiments.store.admission import Admissions, Admitted, Applicant
from server.attempts import FailedStarts
from server.completion import completion, debriefing
from server.errors import RequestRefused
from server.hub import RETRY_AFTER_SECONDS, Hub
from server.operations import Endpoint, ErrorAnswer, Operation
from server.requests import json_answer, read_json

logger = logging.getLogger("chatroom.start")

MAX_PARAMETERS = 50
Value = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    token: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="Of the participant's link.")
    parameters: dict[Value, Value] = Field(
        default={}, max_length=MAX_PARAMETERS, description="Of the link, where a panel sends participants."
    )
    visit: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{16,100}$",
        description="A name of this visit, drawn by the page: a start that is sent again is the same start.",
    )


class Consent(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    version: str = Field(max_length=100)


class StartRequest(_Body):
    consent: Consent | None = Field(default=None, description="What was agreed to, where the study asks for it.")
    resume: bool = Field(default=False, description="Take up what has begun, and begin nothing.")


class DeclineRequest(_Body):
    version: str = Field(max_length=100, description="Of the consent that was not given.")


class Started(BaseModel):
    session_id: str
    message: str
    websocket_url: str = Field(description="Where the session goes on; it begins when this is opened.")


class Completion(BaseModel):
    """What a participant takes back to the panel."""

    outcome: str
    code: str | None
    url: str | None


class Declined(BaseModel):
    completion: Completion


class Debriefing(BaseModel):
    title: str
    paragraphs: list[list[dict[str, str | None]]] = Field(description="Paragraphs of spans.")


class StartRefused(ErrorAnswer):
    """With what is due where there is an end: `session_over`, `study_full`."""

    model_config = ConfigDict(json_schema_extra={"required": ["error", "message", "details", "request_id"]})

    completion: Completion | None = None
    debriefing: Debriefing | None = None


async def start_session(request: Request) -> Response:
    """Exchange a token, or what a panel's link says, for a session; it begins when its socket is opened."""
    body = _checked(StartRequest, await read_json(request))
    applicant = _applicant(request, body, body.consent.version if body.consent else None)
    admitted = await _admitted(request, applicant, resume_only=body.resume)
    scheme = "wss" if request.url.scheme == "https" else "ws"
    started = Started(
        session_id=admitted.session_id,
        message="Session created. Connect via WebSocket to start.",
        websocket_url=f"{scheme}://{request.url.netloc}/ws/{admitted.session_id}",
    )
    return json_answer(started.model_dump())


async def decline(request: Request) -> Response:
    """Take it that no consent is given: nothing begins, and what is due then is told."""
    body = _checked(DeclineRequest, await read_json(request))
    experiment: Experiment = request.state.experiment
    if experiment.screens.consent is None:
        raise RequestRefused("not_found", "There is no consent to decline.")
    applicant = _applicant(request, body, None)
    failed_starts: FailedStarts = request.state.failed_starts
    admissions: Admissions = request.state.admissions
    try:
        async with failed_starts.attempt(_address(request)):
            declined = await admissions.decline(applicant, body.version)
    except (NotAdmitted, StoreError) as error:
        raise refusal(experiment, error, applicant) from error
    due = completion(experiment, declined.outcome, declined.parameters)
    return json_answer(Declined(completion=Completion.model_validate(due)).model_dump())


async def _admitted(request: Request, applicant: Applicant, *, resume_only: bool) -> Admitted:
    experiment: Experiment = request.state.experiment
    hub: Hub = request.state.hub
    failed_starts: FailedStarts = request.state.failed_starts
    admissions: Admissions = request.state.admissions
    try:
        async with failed_starts.attempt(_address(request)):
            admitted = await admissions.admit(applicant, resume_only=resume_only, before_new=hub.refuse_if_closed)
            if await hub.has_just_ended(admitted.session_id):
                admitted = await admissions.admit(applicant, resume_only=resume_only)
    except (NotAdmitted, StoreError) as error:
        raise refusal(experiment, error, applicant) from error
    return admitted


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _checked(cls: type[Any], body: Any) -> Any:
    """Return the request; raise RequestRefused. What was sent is not said again: not even the names of its keys."""
    try:
        return cls.model_validate(body)
    except ValidationError as error:
        known = set(cls.model_fields)
        details = [
            {"field": each["loc"][0] if each["loc"] and each["loc"][0] in known else "", "type": each["type"]}
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise _malformed(details) from None


def _malformed(details: list[dict[str, Any]]) -> RequestRefused:
    return RequestRefused("validation_error", "The request is not as it should be.", details)


def _applicant(request: Request, body: _Body, consent: str | None) -> Applicant:
    """Return who applies; raise RequestRefused if what this experiment needs of them is missing."""
    experiment: Experiment = request.state.experiment
    entry = experiment.entry
    given = {name: body.parameters[name].strip() for name in entry.parameters if name in body.parameters}
    if not all(_PRINTABLE.fullmatch(value) for value in given.values()):
        raise _malformed([{"field": "parameters", "type": "control_character"}])
    problems = [{"field": f"parameters.{name}", "message": why} for name, why in parameter_problems(given, entry)]
    if problems:
        raise _malformed(problems)
    if entry.mode in ("demo", "tokens") and body.token is None:
        raise _malformed([{"field": "token", "type": "missing"}])
    return Applicant(token=body.token, parameters=given, visit=body.visit, consent=consent)


FULL = ("not_admitting", "The chatroom is full at the moment. Please try again in a little while.")
REFUSALS: dict[type[Exception], tuple[str, str]] = {
    UnknownCredential: ("unauthorized", "This token is not valid."),
    NotStarted: ("not_started", "Nothing has begun yet."),
    AlreadyBegun: ("already_begun", "The session has begun already."),
    ConsentNeeded: ("consent_required", "The consent that belongs to this study is needed first."),
    SessionOver: ("session_over", "This session is over."),
    StudyFull: ("study_full", "All places are taken."),
    NoRoom: FULL,
    StoreError: FULL,
}
"""Why somebody is not let in -> the answer's code and message."""


def refusal(experiment: Experiment, error: NotAdmitted | StoreError, applicant: Applicant) -> RequestRefused:
    """Return the answer for a reason not to be let in."""
    if isinstance(error, NotOpen):
        return RequestRefused("not_open", _window(error))
    if isinstance(error, StoreError):
        logger.error("nobody is admitted: %s", error)
    code, message = REFUSALS[type(error)]
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if code == "not_admitting" else None
    return RequestRefused(code, message, headers=headers, extra=_due(experiment, error, applicant))


def _window(error: NotOpen) -> str:
    if error.opens_at is None:
        return "This study is over. Thank you for your interest."
    zone = error.opens_at.strftime("%z")
    return f"This study opens on {error.opens_at:%d %B %Y at %H:%M} (UTC{zone[:3]}:{zone[3:]}). Please come back then."


def _due(experiment: Experiment, error: NotAdmitted | StoreError, applicant: Applicant) -> dict[str, Any]:
    """What the answer says of the end, where there is one."""
    match error:
        case SessionOver():
            due = completion(experiment, error.outcome, error.parameters)
            return {"completion": due, "debriefing": debriefing(experiment, error.outcome)}
        case StudyFull():
            return {"completion": completion(experiment, "screened_out", applicant.parameters)}
    return {}


def _operation(path: str, endpoint: Endpoint, **rest: Any) -> Operation:
    return Operation(method="POST", path=path, endpoint=endpoint, tag="Participants", error_model=StartRefused, **rest)


OPERATIONS = [
    _operation(
        "/session/start",
        start_session,
        summary="Exchange a token, or what a link says, for a session",
        description="The same token gets the same session until that is over; the demo token a new one each time.",
        body=StartRequest,
        example={"token": "1234"},
        answers={200: Started},
        errors=(
            "unauthorized",
            "consent_required",
            "not_open",
            "study_full",
            "not_started",
            "session_over",
            "too_many_failures",
            "study_paused",
            "not_admitting",
        ),
    ),
    _operation(
        "/session/decline",
        decline,
        summary="Decline the consent: nothing begins",
        body=DeclineRequest,
        example={"token": "1234", "version": "1"},
        answers={200: Declined},
        errors=(
            "unauthorized",
            "consent_required",
            "not_open",
            "study_full",
            "not_found",
            "not_started",
            "already_begun",
            "session_over",
            "too_many_failures",
            "not_admitting",
        ),
    ),
]
