"""`chatroom fake-llm`: the fake as a server of its own."""

from __future__ import annotations

from collections.abc import Sequence

import uvicorn

from server.errors import InvalidSettings
from server.fakellm.app import MODELS, Fake, create_app
from server.fakellm.behaviours import behaviour
from server.listening import listening_socket

BANNER = """
  A fake provider, which speaks like Gemini, Groq and OpenAI-compatible servers. Any key will do; models: {models}.

  GEMINI_BASE_URL=http://{address}
  GROQ_BASE_URL=http://{address}
  OPENAI_COMPATIBLE_BASE_URL=http://{address}/v1

  It answers: {name}. To have it fail, while it runs:
  curl -X PUT http://{address}/fake/behaviour -H 'content-type: application/json' -d '{{"name": "hang"}}'
  What it can do: http://{address}/fake/behaviour   What it was asked: http://{address}/fake/requests

  Stop with Ctrl+C.
"""


def config_for(fake: Fake) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(fake),
        http=fake.connections.protocol(),
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


def serve(host: str, port: int, name: str, latency: float, models: Sequence[str] | None = None) -> None:
    """Serve until told to stop; raise InvalidSettings."""
    fake = Fake(models=tuple(models or MODELS), is_strict=True)
    try:
        fake.behaviour = behaviour(name, **({"latency": latency} if name in ("ok", "latency") else {}))
    except ValueError as error:
        raise InvalidSettings([f"--behaviour: {error}"]) from None
    listener = listening_socket(host, port)
    address = f"{host}:{listener.getsockname()[1]}"
    offered = ", ".join(fake.models)
    print(BANNER.format(address=address, name=name, models=offered), flush=True)  # noqa: T201  for whoever started it
    uvicorn.Server(config_for(fake)).run(sockets=[listener])
