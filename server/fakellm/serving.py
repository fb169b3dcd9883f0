"""`chatroom fake-llm`: the fake as a server of its own."""

from __future__ import annotations

import uvicorn

from server.errors import InvalidSettings
from server.fakellm.app import Fake, create_app
from server.fakellm.behaviours import behaviour
from server.listening import listening_socket

BANNER = """
  A fake provider, which speaks like Gemini, Groq and OpenAI-compatible servers. Any key will do; models: {models}.

  GEMINI_BASE_URL=http://{address}
  GROQ_BASE_URL=http://{address}
  OPENAI_COMPATIBLE_BASE_URL=http://{address}/v1

  It answers: {name}. To have it fail, while it runs:
  curl -X PUT http://{address}/fake/behaviour -H 'content-type: application/json' -d '{{"name": "hang"}}'
  All behaviours: http://{address}/fake/behaviour   What it was asked: http://{address}/fake/requests

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


def serve(host: str, port: int, name: str, latency: float) -> None:
    """Serve until told to stop; raise InvalidSettings."""
    fake = Fake()
    try:
        fake.behaviour = behaviour(name, **({"latency": latency} if name in ("ok", "latency") else {}))
    except ValueError as error:
        raise InvalidSettings([f"--behaviour: {error}"]) from None
    listener = listening_socket(host, port)
    address = f"{host}:{listener.getsockname()[1]}"
    models = ", ".join(fake.models)
    print(BANNER.format(address=address, name=name, models=models), flush=True)  # noqa: T201  for whoever started it
    uvicorn.Server(config_for(fake)).run(sockets=[listener])
