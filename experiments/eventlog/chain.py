"""The hash chain: what shows that nobody has touched a log since it was written.

Every line of a log ends in a salt and a hash, both hexadecimal:

    {"seq":7,"timestamp":"...","elapsed":15.234,"event_type":"message","data":{...},"salt":"...","hash":"..."}\\n

    content  the line without `,"salt":...,"hash":"..."` and without its newline: a whole JSON object
    digest   SHA-256(salt + content), salt as 16 bytes
    hash     SHA-256(hash of the line before + digest), both as 32 bytes; before the first line stand 32 zero bytes

A line that is changed, lost, doubled or moved does not fit its neighbours. What a line says can be erased all the same,
and the chain still holds: of an erased record its digest stays,

    {"seq":7,"event_type":"erased","digest":"...","hash":"..."}\\n

and since the salt is gone with the content, nobody can find out what it was by trying what it may have been.

Whoever can write the file can write a whole chain anew; who has noted the hash of a log's last line (`chatroom verify`
prints it) can tell.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

SALT_BYTES = 16
BEFORE_THE_FIRST = bytes(32)
ERASED = "erased"
_TAIL = re.compile(rb',"salt":"([0-9a-f]{32})","hash":"([0-9a-f]{64})"\}\n?\Z')
_TAIL_LENGTH = len(',"salt":"","hash":""}') + 32 + 64
_ERASED = re.compile(rb'\{"seq":(\d+),"event_type":"erased","digest":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n?\Z')


def random_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


def no_salt() -> bytes:
    """For rehearsals, in which nobody wrote anything: with it, the same log has the same hashes."""
    return bytes(SALT_BYTES)


class Chain:
    """Seals lines one after another; `hash` is the last one's."""

    def __init__(self, hash: bytes = BEFORE_THE_FIRST, salt: Callable[[], bytes] = random_salt) -> None:
        self.hash = hash
        self._salt = salt

    def sealed(self, line: bytes) -> bytes:
        """Return a line as `codec.encode` gives it, newline included, with its salt and hash."""
        content, salt = line[:-1], self._salt()
        self.hash = linked(self.hash, digest(salt, content))
        return b'%s,"salt":"%s","hash":"%s"}\n' % (content[:-1], salt.hex().encode(), self.hash.hex().encode())


class Seal(NamedTuple):
    """What stands in a line beside its content: the digest is computed from it, or stands there if it is erased."""

    digest: bytes
    hash: bytes
    is_erased: bool


def seal_of(line: bytes) -> Seal | None:
    """Return a line's seal, None if it has none."""
    tail = _TAIL.search(line, max(0, len(line) - _TAIL_LENGTH - 1))
    if tail is not None:
        content = line[: tail.start()] + b"}"
        return Seal(digest(bytes.fromhex(tail[1].decode()), content), bytes.fromhex(tail[2].decode()), is_erased=False)
    erased = _ERASED.match(line)
    if erased is not None:
        return Seal(bytes.fromhex(erased[2].decode()), bytes.fromhex(erased[3].decode()), is_erased=True)
    return None


def erased(seq: int, seal: Seal) -> bytes:
    """Return what stays of a line whose content is erased."""
    names = (seq, seal.digest.hex().encode(), seal.hash.hex().encode())
    return b'{"seq":%d,"event_type":"erased","digest":"%s","hash":"%s"}\n' % names


def digest(salt: bytes, content: bytes) -> bytes:
    return sha256(salt + content).digest()


def linked(previous: bytes, digest: bytes) -> bytes:
    return sha256(previous + digest).digest()
