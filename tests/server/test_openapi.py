"""The description of the REST interface: whole, valid, true, and readable as a page."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
import jsonschema_rs
from folders import write_settings
from pydantic import BaseModel, Field
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from servers import serving
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute

from experiments.experiment import load_experiment
from server.app import create_app, operations
from server.docs import Page
from server.errors import STATUS
from server.fields import fields
from server.openapi import Description, _operation_id
from server.operations import SESSION_ID, Operation, OperationRoute
from server.settings import ServerSettings
from server.workforce.setup import workforce_roles

KEY = "a-key-of-the-researcher-0123456789"
SETTINGS = {"researcher_key": KEY, "start_failures_per_minute": 0}
OPEN = {"entry": {"mode": "open"}}
"""In other modes a token is needed, which the description cannot know."""


ROLES = [role.role for role in workforce_roles(Path(__file__).parents[2] / "config")]


def document() -> dict[str, Any]:
    return Description(operations(), ROLES).document


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_the_document_is_valid():
    described = json.loads(json.dumps(document()))
    OPENAPI_31_VALIDATOR.validate(described)
    schemas = described["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"})
    assert references(described) == {f"#/components/schemas/{name}" for name in schemas}
    ids = [each["operationId"] for at in described["paths"].values() for each in at.values()]
    assert len(ids) == len(set(ids)) == len(operations())


def test_every_route_is_described(tmp_path: Path):
    settings = ServerSettings(_env_file=None, log_dir=tmp_path / "logs", data_dir=tmp_path / "data")
    app = create_app(settings, load_experiment(write_settings(tmp_path / "config")))
    found = {}
    for route in app.routes:
        if isinstance(route, OperationRoute):
            found[route.path] = {method.lower() for method in route.methods} - {"head"}
        else:
            assert isinstance(route, Mount | WebSocketRoute)
            assert route.path.startswith(("/static/", "/ws/"))
    assert found == {path: set(at) for path, at in document()["paths"].items()}


def test_every_operation_says_what_can_come_of_it():
    for operation in operations():
        described = document()["paths"][operation.path][operation.method.lower()]
        assert described["summary"]
        assert set(operation.errors) <= set(STATUS)
        assert bool(described["security"]) == operation.researcher
        assert {str(STATUS[code]) for code in operation.every_error} <= set(described["responses"])
        parameters = {each["name"] for each in described.get("parameters", ()) if each["in"] == "path"}
        assert parameters == set(re.findall(r"\{(\w+)\}", operation.path))


def linked(described: dict[str, Any]) -> dict[str, Any]:
    """Say in a document what can be done with a session that was begun, so that sessions are led through their life."""
    begun = described["paths"]["/simulate/start"]["post"]["responses"]["201"]
    begun["links"] = links = {}
    for operation in operations():
        link: dict[str, Any] = {"operationId": _operation_id(operation)}
        if "session_id" in operation.path_parameters:
            links[link["operationId"]] = {**link, "parameters": {"session_id": "$response.body#/session_id"}}
        elif operation.body is not None and "session_id" in operation.body.model_fields:
            links[link["operationId"]] = {**link, "requestBody": {"session_id": "$response.body#/session_id"}}
    return described


async def test_sessions_are_led_through_their_life(tmp_path: Path):
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(linked(document())), encoding="utf-8")
    async with serving(tmp_path, settings=SETTINGS, experimental=OPEN) as server:
        report, output = await schemathesis(tmp_path, described, server.http, "--phases", "stateful", examples=60)
    assert report["exit_code"] == 0, output
    assert (report["failures"], report["errors"]) == ([], [])
    covered = re.search(r"(\d+) covered", output)
    assert covered is not None
    assert int(covered[1]) > 8, output


async def test_what_the_server_does_is_what_the_description_says(tmp_path: Path):
    """Every operation, with every check that schemathesis has."""
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(document()), encoding="utf-8")  # fetched, that operation itself were left out
    async with serving(tmp_path, settings=SETTINGS, experimental=OPEN) as server:
        report, output = await schemathesis(tmp_path, described, server.http)
    assert report["exit_code"] == 0, output
    assert (report["failures"], report["errors"]) == ([], [])
    assert report["operations"]["tested"] == report["operations"]["total"] == len(operations()), output
    assert {name for name, each in report["phases"].items() if each["status"] != "success"} <= {"stateful"}, output


KNOWS_THE_SESSION = "\n".join(
    f"""[[operations]]
include-name = "POST {path}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]
"""
    for path in ("/simulate/next", "/simulate/what-if", "/memory/{session_id}")
)
"""Whether a role sits at a table, and a round was played, no schema can say: there a 422 is as it should be."""


async def schemathesis(
    folder: Path, described: Path, url: str, *options: str, examples: int = 10
) -> tuple[dict[str, Any], str]:
    """Run it as its command, and return its report and what it printed."""
    (folder / "schemathesis.toml").write_text(KNOWS_THE_SESSION, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", described),
        *("--url", url, "-H", f"Authorization: Bearer {KEY}", "--checks", "all"),
        *("--max-examples", str(examples), "--generation-deterministic", "--no-color", *options),
        *("--report", "json", "--report-json-path", folder / "report.json", "--request-timeout", "30"),
        *("--max-response-time", "30"),  # how long a what-if takes is what was asked for, and the machine's speed
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert (folder / "report.json").exists(), text
    return json.loads((folder / "report.json").read_text(encoding="utf-8")), text


async def test_the_page_shows_every_operation_and_needs_nothing_else(tmp_path: Path):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        answer = await client.get("/docs")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "unsafe" not in answer.headers["content-security-policy"]
        page = answer.text
        for operation in operations():
            name = operation.path.replace("/", "/<wbr>")
            assert f'<b class="method {operation.method.lower()}">{operation.method}</b> <code>{name}</code>' in page
        assert "<script" not in page
        assert not re.search(r"\s(style|on\w+)=", page)
        assert f"curl -X POST &quot;{server.http}/session/start&quot;" in page
        addresses = re.findall(r'(?:href|src)="([^"#][^"]*)"', page)
        assert len(addresses) > 3
        for address in addresses:
            assert (await client.get(address)).status_code == 200, address
        targets = set(re.findall(r'href="#([^"]+)"', page))
        assert targets == set(re.findall(r'<article id="([^"]+)"', page))


class Reply(BaseModel):
    text: str = Field(min_length=1, max_length=80, description="What is said, `<b>` and all.")
    mood: Literal["calm", "cross"] | None = None
    to: list[Reply] = Field(default=[], max_length=3)
    traits: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}


def test_a_models_fields_are_told_with_their_limits():
    schema = Reply.model_json_schema()
    assert [each[:4] for each in fields({"$ref": "#/$defs/Reply"}, schema["$defs"])] == [
        ("text", "string", "1 to 80 characters", True),
        ("mood", '"calm" | "cross" or null', "", False),
        ("to", "list of object", "at most 3 items", False),  # and no further: it is itself again
        ("traits", "object", "", False),
    ]


async def nothing(request: Request) -> Response:
    return Response()


def test_what_a_model_says_is_no_markup_and_an_example_can_be_pasted():
    described = Operation(
        method="POST",
        path="/said/{session_id}",
        endpoint=nothing,
        summary="<i>Say</i>",
        tag="A & B",
        body=Reply,
        path_parameters=SESSION_ID,
        takes_idempotency_key=True,
        answers={201: Reply},
        researcher=True,
        example={"text": "It's <late>"},
    )
    page = unescape(markup := Page(Description([described]), "v").html("http://127.0.0.1:8000"))
    assert "<i>" not in markup
    assert "<late>" not in markup
    assert "What is said, <code>&lt;b&gt;</code> and all." in markup
    assert "<h4>Answer 201" in markup
    (example,) = re.findall(r"<code>(curl .*?)</code></pre>", page, re.DOTALL)
    words = [each for each in shlex.split(example) if each != "\n"]  # unlike a shell, it knows no lines that go on
    method, url, *headers, data = words[2:]
    assert (method, url, data) == ("POST", "http://127.0.0.1:8000/said/$SESSION_ID", '{\n  "text": "It\'s <late>"\n}')
    assert headers == ["-H", "Authorization: Bearer $RESEARCHER_KEY", "-H", "Content-Type: application/json", "-d"]


def test_an_example_takes_the_session_from_the_shell():
    asked = next(each for each in operations() if each.path == "/simulate/next")
    (example,) = re.findall(
        r"<code>(curl .*?)</code></pre>", unescape(Page(Description([asked]), "v").html("")), re.DOTALL
    )
    body = example.partition("-d ")[2]
    shell = subprocess.run(
        ["sh", "-c", f"printf %s {body}"], env={"SESSION_ID": "a-b"}, capture_output=True, check=True
    )
    assert json.loads(shell.stdout) == {**asked.example, "session_id": "a-b"}


async def test_a_method_that_a_path_does_not_have_is_told_those_that_it_has(tmp_path: Path):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        for operation in operations():
            path = re.sub(r"\{\w+\}", "0", operation.path)
            answer = await client.request("TRACE", path)
            assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")
            methods = {each.method for each in operations() if each.path == operation.path}
            assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == methods
