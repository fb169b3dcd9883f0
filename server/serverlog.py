"""The server log: what operators read. No data and no secret: session ids are shortened, addresses left out."""

from __future__ import annotations

import logging
import re

import orjson

_SOCKET_PATH = re.compile(r"/ws/[^\s\"]+")
_QUERY = re.compile(r"\?[^\s\"]*")
_ADDRESS_FIRST = '%s - "'
"""How uvicorn's lines about a client begin: with its address, which is nobody's business."""
TELLING_TOO_MUCH = ("groq", "httpx", "httpx2", "google", "aiohttp", "asyncio", "aiosqlite", "sqlalchemy", "alembic")
"""At DEBUG these write whole requests, and so what participants wrote, or statements, and so who they are."""
_INVALID_UTF8 = "Invalid UTF-8 sequence received from client."


def configure(level: str, *, as_json: bool) -> None:
    """Send every logger's records to stderr in one form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    for name in TELLING_TOO_MUCH:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("google_genai").setLevel(logging.ERROR)  # it warns of a key that it is not given


def redact_uvicorn() -> None:
    """Take addresses, session ids and query strings out of what uvicorn logs, also where its own command started us."""
    for name in ("uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        if redact not in logger.filters:
            logger.addFilter(redact)


def redact(record: logging.LogRecord) -> bool:
    if record.msg == _INVALID_UTF8:
        return False  # a client's doing, answered with 1007; its traceback tells nothing
    if isinstance(record.args, tuple):
        if str(record.msg).startswith(_ADDRESS_FIRST):
            record.args = ("-", *record.args[1:])
        record.args = tuple(_redacted(arg) if isinstance(arg, str) else arg for arg in record.args)
    return True


def _redacted(text: str) -> str:
    return _QUERY.sub("?…", _SOCKET_PATH.sub("/ws/…", text))


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()
