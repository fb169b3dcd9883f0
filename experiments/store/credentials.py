"""Tokens, and how whoever they belong to is remembered: by a hash with a key of this data folder.

A database that is lost gives no token away, and a panel's id is found by whoever has both the id and the key.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

SECRET_FILE = "secret.key"
SECRET_BYTES = 32
TOKEN_BYTES = 17
"""136 bits, of which the first sign gives a little away: it is a letter or a digit."""
SHORT_CHARACTERS = 8
SHORT_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: nothing that is misread on paper, or swears. Eight of them are 40 bits."""
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_SHORT = re.compile(rf"[{SHORT_ALPHABET}]{{{SHORT_CHARACTERS}}}")


def new_token() -> str:
    """Return a token that no command takes for an option."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return token if token[0].isalnum() else new_token()


def new_short_code() -> str:
    """Return a code that people can type: it needs an expiry, and a limit on how often one may be wrong."""
    code = "".join(secrets.choice(SHORT_ALPHABET) for _ in range(SHORT_CHARACTERS))
    return f"{code[:4]}-{code[4:]}"


class Keyring:
    """Hashes what must be found again and not be read."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, kind: str, experiment_id: str, text: str) -> str:
        """Return the hash of `text` as a `kind` of thing in an experiment: no hash is found under another kind."""
        message = "\0".join((kind, experiment_id, text)).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def tokens(self, experiment_id: str, text: str) -> tuple[str, str]:
        """Return the hashes under which a token may be known: as it stands, and as the short code that it may be.

        Both are always made, so that the time taken does not tell one from the other.
        """
        return self.of("token", experiment_id, text.strip()), self.of("short", experiment_id, _as_short(text))

    def hash_of_new(self, experiment_id: str, token: str, *, is_short: bool) -> str:
        return self.tokens(experiment_id, token)[1 if is_short else 0]


def _as_short(text: str) -> str:
    code = text.upper().translate(_MISREAD)
    return code if _SHORT.fullmatch(code) else ""


def keyring(data_dir: Path) -> Keyring:
    """Return the keyring of a data folder; its secret is made if need be, for its owner alone. Raises OSError."""
    path = data_dir / SECRET_FILE
    try:
        secret = path.read_bytes()
        if len(secret) != SECRET_BYTES:
            raise OSError(errno.EINVAL, f"{path} does not hold {SECRET_BYTES} bytes")
        return Keyring(secret)
    except FileNotFoundError:
        return Keyring(_make_secret(path))


def _make_secret(path: Path) -> bytes:
    """Put a new secret at `path` whole or not at all: a command may run beside a server that does the same."""
    draft = path.with_name(f".{SECRET_FILE}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(SECRET_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # somebody was faster: theirs it is
    except OSError:  # a file system without links
        if not path.exists():
            draft.replace(path)
    draft.unlink(missing_ok=True)
    return path.read_bytes()
