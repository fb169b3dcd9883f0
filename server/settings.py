"""The server's settings: environment, `.env` and flags (flags win over environment, environment over `.env`)."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from server.errors import InvalidSettings

ENV_FILE = ".env"
DEFAULT_EXPERIMENT = Path("config")
PACKAGED_CONFIG = Path(__file__).parent / "default_config"
CHECKOUT_CONFIG = Path(__file__).parent.parent / "config"

_WRITABLE = re.compile(r"[!-~]*")
_ADDED_BY_CLIENTS = ("/v1", "/v1beta", "/models")

ExactList = Annotated[tuple[str, ...], NoDecode]


class ServerSettings(BaseSettings):
    """One object, made once and passed down. Lists are separated by commas."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    experiment_dir: Path = DEFAULT_EXPERIMENT
    log_dir: Path = Path("logs")
    data_dir: Path = Path("data")
    log_sync: Literal["fsync", "os"] = "fsync"
    researcher_key: SecretStr | None = None
    allow_demo: bool = False
    allowed_origins: ExactList = ()
    allowed_hosts: ExactList = ()
    trusted_proxies: ExactList = ()
    start_failures_per_minute: int = Field(default=10, ge=0, le=1_000_000)
    handshakes_per_minute: int = Field(default=60, ge=0, le=1_000_000)
    llm_provider: str | None = None
    llm_model: str | None = None
    llm_cache_entries: int = Field(default=0, ge=0, le=1_000_000)
    gemini_api_key: SecretStr | None = None
    groq_api_key: SecretStr | None = None
    openai_compatible_api_key: SecretStr | None = None
    gemini_base_url: str | None = None
    groq_base_url: str | None = None
    openai_compatible_base_url: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    json_logs: bool = False

    @field_validator("allowed_origins", "allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("gemini_api_key", "groq_api_key", "openai_compatible_api_key")
    @classmethod
    def _is_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _WRITABLE.fullmatch(value.get_secret_value().strip()):
            raise ValueError("holds a space, a curly quote or another character that no key has")
        return value

    @field_validator("gemini_base_url", "groq_base_url", "openai_compatible_base_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value is not None and not _is_address(value):
            raise ValueError("an address such as http://127.0.0.1:11434/v1 or https://example.org is needed")
        return value

    @field_validator("gemini_base_url", "groq_base_url")
    @classmethod
    def _is_without_path(cls, value: str | None) -> str | None:
        if value is not None and value.rstrip("/").endswith(_ADDED_BY_CLIENTS):
            raise ValueError("leave out the path at its end (/v1, /v1beta, /openai/v1): the client adds it")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @property
    def experiment_folder(self) -> Path:
        return experiment_folder(self.experiment_dir)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every key that is set."""
        keys = (self.researcher_key, self.gemini_api_key, self.groq_api_key, self.openai_compatible_api_key)
        return tuple(key.get_secret_value() for key in keys if key is not None)

    def exposure_problem(self, host: str, *, is_demo: bool) -> str | None:
        """Return why listening on `host` would let strangers in, if it would; `is_demo`: the token 1234 is taken."""
        if _is_loopback(host):
            return None
        if self.researcher_key is None:
            return (
                f"HOST: {host} can be reached from other machines, which needs a RESEARCHER_KEY. "
                "Set one (a long random text), or leave HOST at 127.0.0.1."
            )
        if is_demo and not self.allow_demo:
            return (
                f"HOST: {host} can be reached from other machines, and this experiment lets everybody in with "
                "the demo token 1234 (entry.mode in experimental_settings.json). If that is meant, add --allow-demo "
                "(or ALLOW_DEMO=true)."
            )
        return None


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and _WRITABLE.fullmatch(value) is not None
        )
    except ValueError:  # of a port that is none
        return False


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def experiment_folder(asked_for: Path) -> Path:
    """Return the folder asked for; where that is `config` and there is none, the one that we come with."""
    if asked_for != DEFAULT_EXPERIMENT or asked_for.exists():
        return asked_for
    return next((folder for folder in (PACKAGED_CONFIG, CHECKOUT_CONFIG) if folder.is_dir()), asked_for)


def load_settings(**flags: Any) -> ServerSettings:
    """Return the settings; a flag that is None was not given. Raise InvalidSettings with every problem."""
    given = {name: value for name, value in flags.items() if value is not None}
    if misspelt := [*_misspelt()]:
        raise InvalidSettings(misspelt)
    try:
        return ServerSettings(**given)
    except (OSError, UnicodeError) as error:
        raise InvalidSettings([f".env: cannot be read ({getattr(error, 'strerror', None) or error})"]) from error
    except ValidationError as error:
        raise InvalidSettings(
            [f"{_name(each)}: {_shown(each)}{_lowered(each['msg'])}" for each in error.errors(include_url=False)]
        ) from None


def _misspelt() -> Iterator[str]:
    """Say which names in .env are probably meant to be ours: a study must not run on a setting that was not read."""
    ours = [name.upper() for name in ServerSettings.model_fields]
    try:
        written = dotenv_values(ENV_FILE, encoding="utf-8")
    except (OSError, UnicodeError):
        return  # told of by whoever reads it for good
    for name in written:
        near = difflib.get_close_matches(name.upper(), ours, n=1, cutoff=0.8)
        if name.upper() not in ours and near:
            yield f"{ENV_FILE}: {name}: unknown; did you mean {near[0]}?"


def _name(error: Any) -> str:
    return ".".join(str(part) for part in error["loc"]).upper()


def _shown(error: Any) -> str:
    return "" if "KEY" in _name(error) else f"{error['input']!r} is not allowed: "


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
