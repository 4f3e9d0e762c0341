"""Spoils bodies: edits of JSON, members that come twice, answers that decompress to much more."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final, cast

import zstandard

from connector_pipeline.sandbox.answers import json_bytes

_MARK: Final = "\ue000sandbox-json-"
_MIB: Final = 1024 * 1024
ENCODINGS: Final = ("gzip", "deflate", "zstd")


def edited(content: bytes, edits: Sequence[Mapping[str, Any]], number: int) -> bytes:
    """A JSON body after the edits; bytes that are no JSON stay as they are.

    An edit has a `path` of keys, numbers of elements and "*" (each element), and one of: `value`;
    `json`, the text of a value that need not be JSON, e.g. NaN; or `remove`. In the texts of a
    value, `{n}` is `number` and `{i}` counts the places of this edit. A member that an object
    lacks is added; an edit of any other place that the body lacks changes nothing.
    """
    try:
        body = json.loads(content)
    except ValueError:
        return content
    texts: list[str] = []
    for edit in edits:
        places = count(1)

        def made(edit: Mapping[str, Any] = edit, places: Iterator[int] = places) -> Any:
            if "json" not in edit:
                return _filled(edit.get("value"), number, next(places))
            texts.append(_filled(str(edit["json"]), number, next(places)))
            return f"{_MARK}{len(texts) - 1}\ue000"

        path = list(edit["path"])
        if path:
            _at(body, path, made, remove=bool(edit.get("remove")))
        else:
            body = made()
    spoiled = json_bytes(body)
    for index, text in enumerate(texts):
        mark = f"{_MARK}{index}\ue000"
        # As UTF-8, or as escapes beside half a surrogate.
        for written in (json.dumps(mark, ensure_ascii=False), json.dumps(mark)):
            spoiled = spoiled.replace(written.encode(), text.encode())
    return spoiled


def _at(body: Any, path: list[Any], made: Callable[[], Any], *, remove: bool) -> None:
    key, rest = path[0], path[1:]
    if isinstance(body, list):
        found = cast("list[Any]", body)
        keys: list[Any] = list(range(len(found))) if key == "*" else [key]
        keys = [each for each in keys if isinstance(each, int) and each < len(found)]
    elif isinstance(body, dict):
        keys = [key] if key in body or not (rest or remove) else []
    else:
        return
    for each in reversed(keys) if remove else keys:
        if rest:
            _at(body[each], rest, made, remove=remove)
        elif remove:
            del body[each]
        else:
            body[each] = made()


def _filled(value: Any, number: int, place: int) -> Any:
    if isinstance(value, str):
        return value.replace("{n}", str(number)).replace("{i}", str(place))
    if isinstance(value, list):
        return [_filled(each, number, place) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {key: _filled(each, number, place) for key, each in members.items()}
    return value


def with_member(content: bytes, member: str, *, first: bool) -> bytes:
    """JSON whose outermost object has one more member, given as text: one that it has already, too.

    Of a list of objects, it is the first object or the last. Both have members.
    """
    if first:
        return content.replace(b"{", b"{%s," % member.encode(), 1)
    head, brace, tail = content.rpartition(b"}")
    return head + b",%s" % member.encode() + brace + tail if brace else content


@lru_cache(maxsize=8)
def bomb(size: int, encodings: tuple[str, ...]) -> bytes:
    """A JSON array of so many bytes, nearly all of them blanks, compressed one way in another."""
    content = b"".join(_compressed(_blanks(size), encodings[0]))
    for encoding in encodings[1:]:
        content = b"".join(_compressed(iter((content,)), encoding))
    return content


def large(size: int) -> Iterator[bytes]:
    """A JSON array of so many bytes, in parts."""
    return _blanks(size)


def _blanks(size: int) -> Iterator[bytes]:
    yield b"["
    part = b" " * _MIB
    for start in range(0, size, _MIB):
        yield part[: size - start]
    yield b"]"


def _compressed(parts: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "zstd":
        packer: Any = zstandard.ZstdCompressor(level=3).compressobj()
    else:
        packer = zlib.compressobj(6, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def zipped(content: bytes) -> bytes:
    """The body compressed by gzip."""
    return gzip.compress(content)
