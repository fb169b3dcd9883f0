from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.errors import InvalidJson, TooDeep, TooLarge
from simulation.strict_json import MAX_DEPTH, parse

REFUSED = {
    "empty": (b"", "empty"),
    "blank": (b" \n", "empty"),
    "not JSON": (b"hello", "not JSON"),
    "cut off": (b'{"a": 1', "breaks off"),
    "trailing comma": (b'{"a": 1,}', "comma too many"),
    "two values": (b"1 2", "not JSON"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "Infinity": (b"[Infinity]", "Infinity"),
    "-Infinity": (b"[-Infinity]", "-Infinity"),
    "1e400": (b"[1e400]", "number too large"),
    "5,000 digits": (b"[" + b"9" * 5000 + b"]", "digits"),
    "beyond 64 bits": (b"[18446744073709551616]", "digits"),
    "duplicate key": (b'{"a": 1, "a": 2}', '"a" stands twice'),
    "duplicate key further in": (b'[{"b": {"a": 1, "a": 2}}]', '"a" stands twice'),
    "lone high surrogate": (rb'["\ud800"]', "surrogate"),
    "lone low surrogate": (rb'["\udfff"]', "surrogate"),
    "surrogate in a key": (rb'{"\ud800": 1}', "surrogate"),
    "NUL": (rb'["a\u0000b"]', "NUL"),
    "raw control character": (b'["a\x00b"]', "a line break inside a text"),
    "invalid UTF-8": (b'["\xff"]', "UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-8"),
    "depth 100,000": (b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
    "depth 100,000, never closed": (b"[" * 100_000, "nested deeper"),
    "objects nested too deep": (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    data, reason = REFUSED[name]
    with pytest.raises(InvalidJson, match=reason):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"type": "user_message", "content": "Hi \xf0\x9f\x91\x8b"}',
        rb'["\ud83d\udc4b", "\\ud800", "\\u0000"]',
        b"[1, -1, 1.5, 1e30, true, false, null, 999999999999999999]",
        b'["[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]',
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]",
    ],
)
def test_takes_what_the_standard_library_takes(data):
    assert parse(data) == json.loads(data)


def test_says_where():
    with pytest.raises(InvalidJson) as caught:
        parse(b'{\n  "a": 1,\n  "b" 2\n}')
    assert (caught.value.line, caught.value.column) == (3, 7)


DEEP = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"a": {"b": ' + DEEP + b"}}", ("a", "b", 0, 0, 0)),
        (b'{"a": [1, [2], {"b": 3}, {"c": 4, "d": ' + DEEP + b"}]}", ("a", 3, "d", 0, 0)),
        (b'{"a:,[{": {"\\"": ' + DEEP + b"}}", ("a:,[{", '"', 0, 0, 0)),
        (b'{"a": {"b": 1}, "\xff": ' + DEEP + b"}", ('"\ufffd"', 0, 0, 0, 0)),
        (rb'{"\ud800\u0000": ' + DEEP + b"}", ("\ufffd\ufffd", 0, 0, 0, 0)),
        (b'{"a":' * 100_000, ("a",) * 5),
        (b"]}:,[[[" + DEEP, (0, 0, 0, 0, 0)),
    ],
)
def test_says_which_keys_lead_to_what_is_nested_too_deep(data, path):
    with pytest.raises(TooDeep) as caught:
        parse(data)
    assert caught.value.path == path


def test_refuses_more_bytes_than_the_entrance_takes():
    with pytest.raises(TooLarge, match="10"):
        parse(b'["0123456789"]', max_bytes=10)


def test_time_grows_with_length_alone():
    """Quotes that never close made a backtracking scan quadratic; a megabyte of them would have taken minutes."""
    hostile = b'"' + rb"\"" * 500_000 + b"[" * 40
    started = time.perf_counter()
    with pytest.raises(InvalidJson):
        parse(hostile)
    assert time.perf_counter() - started < 5


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18) + 1, 10**18 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_reads_back_whatever_can_be_written(value):
    assert parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_its_one_error(data):
    try:
        value = parse(data)
    except InvalidJson:
        return
    assert parse(json.dumps(value).encode()) == value
