"""Event to one line of the log, and back.

    {"seq":7,"timestamp":"...","elapsed":15.234,"event_type":"message","data":{...}}\\n

One JSON object a line, UTF-8, ended by a newline byte and by nothing else: U+2028, U+2029 and U+0085, which some
readers take for line ends, are escaped. `timestamp` is wall time in UTC and may go back; `seq` and `elapsed` never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import orjson

from simulation.contract import LoggedEvent
from simulation.errors import InvalidRecord
from simulation.events import KnownEvent, MessagePosted, SessionStarted, UnknownEvent
from simulation.parameters import SimulationParameters
from simulation.strict_json import parse
from simulation.workforce.events import WorkforceEvent, WorkforceStarted
from simulation.workforce.parameters import WorkforceParameters


class Record(NamedTuple):
    """An event with its place in the log."""

    seq: int
    timestamp: str
    event: LoggedEvent

    @property
    def elapsed(self) -> float:
        return self.event.elapsed


def encode(record: Record) -> bytes:
    """Return the record's line, newline included."""
    event = record.event
    try:
        elapsed, fields_of_data = _dumped(event)
    except orjson.JSONEncodeError:  # half a surrogate pair
        elapsed, fields_of_data = _dumped(_storable(event))
    if b"\\u0000" in fields_of_data:
        elapsed, fields_of_data = _dumped(_storable(event))
    timestamp = record.timestamp.encode()
    end = b',"timestamp":"%s"}}\n' % timestamp if isinstance(event, MessagePosted) else b"}}\n"
    name = _DUMPED_NAMES.get(event.event_type) or orjson.dumps(_name(event))
    head = b'{"seq":%d,"timestamp":"%s","elapsed":%s,"event_type":%s,"data":{' % (record.seq, timestamp, elapsed, name)
    return without_line_ends(b"".join((head, fields_of_data, end)))


def without_line_ends(json: bytes) -> bytes:
    """Return JSON in which nothing but newline bytes ends a line, for any reader."""
    if b"\xe2\x80" in json or b"\xc2\x85" in json:
        for raw, escaped in _LINE_ENDS:
            json = json.replace(raw, escaped)
    return json


def _dumped(event: LoggedEvent) -> tuple[bytes, bytes]:
    """Return `elapsed`, and the other fields without their braces: one dump gives both, as `elapsed` stands first."""
    if isinstance(event, UnknownEvent):
        return orjson.dumps(event.elapsed), orjson.dumps(event.data)[1:-1]
    elapsed, _, others = orjson.dumps(event)[len(b'{"elapsed":') : -1].partition(b",")
    return elapsed, others


def _name(event: LoggedEvent) -> str:
    return event.name if isinstance(event, UnknownEvent) else event.event_type


def decode(line: bytes) -> Record:
    """Return the record in `line` (with or without its newline); raise InvalidRecord, or InvalidJson."""
    value = parse(line)
    if not isinstance(value, dict):
        raise InvalidRecord("a record is a JSON object")
    try:
        name, data, elapsed = value["event_type"], value["data"], value["elapsed"]
        return Record(value["seq"], value["timestamp"], _event(name, data, float(elapsed)))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRecord(f"not a record of an event log: {type(error).__name__}: {error}") from error


def _storable(event: LoggedEvent) -> UnknownEvent:
    """Return `event` without what no reader takes: half surrogate pairs and NUL, which models do send."""
    data = event.data if isinstance(event, UnknownEvent) else asdict(event)
    clean = {key: _clean(value) for key, value in data.items() if key != "elapsed"}
    return UnknownEvent(elapsed=event.elapsed, name=_name(event), data=clean)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode().replace("\0", "")
        case Mapping():
            return {_clean(key): _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
    return value


_LINE_ENDS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)

_EVENT_CLASSES: tuple[type[KnownEvent | WorkforceEvent], ...] = (*get_args(KnownEvent), *get_args(WorkforceEvent))
_DUMPED_NAMES = {cls.event_type: orjson.dumps(cls.event_type) for cls in _EVENT_CLASSES}
_BY_NAME = {cls.event_type: cls for cls in _EVENT_CLASSES if cls is not WorkforceStarted}
_NAMES = {cls: tuple(f.name for f in fields(cls) if f.name != "elapsed") for cls in _EVENT_CLASSES}
_TUPLES = {
    cls: tuple(name for name, hint in get_type_hints(cls).items() if get_origin(hint) is tuple)
    for cls in _EVENT_CLASSES
}


def _event(name: str, data: dict[str, Any], elapsed: float) -> LoggedEvent:
    cls = _class(name, data)
    if cls is None:
        return UnknownEvent(elapsed=elapsed, name=name, data=data)
    values = {key: data[key] for key in _NAMES[cls] if key in data}
    for key in _TUPLES[cls]:
        values[key] = tuple(values.get(key, ()))
    if cls is SessionStarted:
        values["parameters"] = SimulationParameters.from_record(data["parameters"])
    elif cls is WorkforceStarted:
        values["parameters"] = WorkforceParameters.from_record(data["parameters"])
    return cls(elapsed=elapsed, **values)


def _class(name: str, data: Mapping[str, Any]) -> type[KnownEvent | WorkforceEvent] | None:
    """Both kinds of session begin with a `session_start`; the workforce's says so."""
    if name == WorkforceStarted.event_type and data.get("kind") == "workforce":
        return WorkforceStarted
    return _BY_NAME.get(name)
