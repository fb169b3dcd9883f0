"""`GET /docs`: the description of the REST interface as a page. It has no script, so that nothing in it can run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from string import Template
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.fields import Field, field, fields
from server.openapi import Description
from server.operations import Operation
from server.pages import TEMPLATES

Described = Mapping[str, Any]

_CODE = re.compile(r"`([^`]+)`")


class Page:
    """The page of a description; `version` is that of the static files."""

    def __init__(self, description: Description, version: str) -> None:
        self._description = description
        self._static = f"/static/{version}"
        self._template = Template((TEMPLATES / "docs.html").read_text(encoding="utf-8"))

    def html(self, base: str) -> str:
        """Return the page for readers who reach the server at `base`: so the examples can be copied as they are."""
        document = self._description.document
        return self._template.substitute(
            static=self._static,
            title=escape(document["info"]["title"]),
            version=escape(document["info"]["version"]),
            introduction=_paragraphs(document["info"]["description"]),
            contents="\n".join(_contents(document)),
            operations="\n".join(_sections(document, base)),
        )


async def docs(request: Request) -> Response:
    page: Page = request.state.docs
    return HTMLResponse(page.html(str(request.base_url).rstrip("/")))


def _by_tag(document: Described) -> Iterator[tuple[str, list[tuple[str, str, Described]]]]:
    every = [(path, method, each) for path, at in document["paths"].items() for method, each in at.items()]
    for tag in (each["name"] for each in document["tags"]):
        yield tag, [operation for operation in every if tag in operation[2]["tags"]]


def _contents(document: Described) -> Iterator[str]:
    for tag, operations in _by_tag(document):
        links = "".join(
            f'<li><a href="#{each["operationId"]}">{_method(method)} <span>{_path(path)}</span></a></li>'
            for path, method, each in operations
        )
        yield f"<h2>{escape(tag)}</h2><ul>{links}</ul>"


def _sections(document: Described, base: str) -> Iterator[str]:
    for tag, operations in _by_tag(document):
        articles = "\n".join(_article(document, base, *operation) for operation in operations)
        yield f"<section><h2>{escape(tag)}</h2>\n{articles}</section>"


def _article(document: Described, base: str, path: str, method: str, operation: Described) -> str:
    components = document["components"]["schemas"]
    key = '<span class="key">researcher</span>' if operation["security"] else ""
    parts = [
        f'<article id="{operation["operationId"]}">',
        f"<h3>{_method(method)} <code>{_path(path)}</code>{key}</h3>",
        f'<p class="summary">{_inline(operation["summary"])}</p>',
        _paragraphs(operation.get("description", "")),
        _part("Parameters", _list(_parameters(operation, components))),
        _part("Body", _list(_body(operation, components))),
        *_answers(operation, components),
        _part("Errors", _errors(operation)),
        _part("Example", f'<pre tabindex="0"><code>{escape(_curl(base, path, method, operation))}</code></pre>'),
        "</article>",
    ]
    return "\n".join(filter(None, parts))


def _part(title: str, content: str) -> str:
    return f"<h4>{title}</h4>\n{content}" if content else ""


def _parameters(operation: Described, components: Mapping[str, Any]) -> Iterator[Field]:
    for each in operation.get("parameters", ()):
        schema = {**each["schema"], "description": each.get("description", "")}
        found = field(each["name"], schema, components, is_required=each["required"])
        yield found._replace(kind=f"{found.kind}, in the {each['in']}")


def _body(operation: Described, components: Mapping[str, Any]) -> list[Field]:
    if "requestBody" not in operation:
        return []
    return fields(operation["requestBody"]["content"]["application/json"]["schema"], components)


def _answers(operation: Described, components: Mapping[str, Any]) -> Iterator[str]:
    """Yield what comes back where all is well, and where what is not well has a shape of its own."""
    for status, response in operation["responses"].items():
        if "x-errors" in response and not response["x-has-answer"]:
            continue
        content = response.get("content", {})
        forms = ", ".join(f"<code>{escape(form)}</code>" for form in content) or "no content"
        shown = _list(fields(_own_schema(content), components), is_answer=True)
        yield f'<h4>Answer {status} <span class="form">{forms}</span></h4>\n{shown}'


def _own_schema(content: Described) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    return schema["anyOf"][0] if "anyOf" in schema else schema


def _errors(operation: Described) -> str:
    told = [(status, each.get("x-errors", ())) for status, each in operation["responses"].items()]
    items = "".join(
        f"<li><b>{status}</b> {' '.join(f'<code>{escape(code)}</code>' for code in codes)}</li>"
        for status, codes in told
        if codes
    )
    return f'<ul class="errors">{items}</ul>' if items else ""


def _list(found: Iterable[Field], *, is_answer: bool = False) -> str:
    """Return fields as a list; of an answer's all are there, so that it would say nothing to call them required."""
    items = "\n".join(_item(each, is_marked=each.is_required and not is_answer) for each in found)
    return f'<ul class="fields">\n{items}\n</ul>' if items else ""


def _item(each: Field, *, is_marked: bool) -> str:
    required = '<span class="required">required</span>' if is_marked else ""
    limits = f'<span class="limits">{escape(each.limits)}</span>' if each.limits else ""
    description = f"<p>{_inline(each.description)}</p>" if each.description else ""
    name = escape(each.name).replace(".", ".<wbr>")
    head = f'<code class="name">{name}</code> <span class="kind">{escape(each.kind)}</span>'
    return f"<li>{head} {required} {limits}{description}</li>"


def _curl(base: str, path: str, method: str, operation: Described) -> str:
    address = base + re.sub(r"\{(\w+)\}", lambda match: f"${match[1].upper()}", path)
    lines = [f'curl "{address}"' if method == "get" else f'curl -X {method.upper()} "{address}"']
    if operation["security"]:
        lines.append('-H "Authorization: Bearer $RESEARCHER_KEY"')
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"].get("example", {})
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {_quoted(json.dumps(example, ensure_ascii=False, indent=2))}")
    return " \\\n  ".join(lines)


def _quoted(body: str) -> str:
    """Return a body for a shell, in single quotes but for its session's id: the variable that addresses have, too."""
    return re.sub(r'(?<="session_id": ")[^"]*', "'\"$SESSION_ID\"'", shlex.quote(body))


def _method(method: str) -> str:
    return f'<b class="method {method}">{method.upper()}</b>'


def _path(path: str) -> str:
    return escape(path).replace("/", "/<wbr>")


def _paragraphs(text: str) -> str:
    parts = re.split(r"\n\s*\n", text.strip())
    return "\n".join(f"<p>{_inline(part)}</p>" for part in parts if part)


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


OPERATIONS = [
    Operation(
        method="GET",
        path="/docs",
        endpoint=docs,
        summary="This description, as a page",
        tag="Server",
        answers={200: None},
        media_types=("text/html",),
        researcher=True,
    )
]
