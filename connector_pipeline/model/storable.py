r"""Texts of others: of platforms, merchants, requesters, servers.

`checked` is for what is stored byte for byte. Everything else that others wrote goes through
`clipped` where it enters a message, an event, metadata or a column: it comes out in one line, in
valid UTF-8, without what does not show or what a terminal obeys, without a secret of ours, and of a
bounded size.

JSON can send NUL and half of a surrogate pair. Postgres can store neither, and half a pair cannot
be sent as UTF-8: one such character in a log makes Dagster's UI answer 500 for the whole run.
"""

import re
from typing import Final

from connector_pipeline.model.redaction import PART, redacted

# `isprintable` takes these for letters or marks, but they have no shape: fillers, joiners, and the
# selectors by which a text can carry another one. Two selectors are spared (U+FE0E and U+FE0F):
# they say whether a character is shown as an emoji, and every second shop has them in its titles.
_WITHOUT_SHAPE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0d\uffa0"
    "\U0001d159\U000e0100-\U000e01ef]"
)
_EMOJI_OR_NOT: Final = re.compile("[\ufe0e\ufe0f]")
# A zero width joiner makes one picture of two emoji, as of a family. Anywhere else it only hides.
_EMOJI: Final = "[\u2194\u2195\u2600-\u2767\u27a1\u2b1b\U0001f300-\U0001faff]"
_JOINER: Final = "\u200d"
_JOINS_NOTHING: Final = re.compile(
    f"(?<!{_EMOJI})(?<!{_EMOJI}\ufe0f){_JOINER}|{_JOINER}(?!{_EMOJI})"
)
_SPACES: Final = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_MARK: Final = "…"


def checked(text: str) -> str:
    """The text as it is. Raises ValueError if Postgres cannot store it."""
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("contains half of a surrogate pair") from None
    return text


def escaped(text: str) -> str:
    r"""The text with `\x00` and the like in place of the characters that Postgres cannot store."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def printable(text: str) -> str:
    r"""The text with escapes, `\x1b` or `\u202e`, for what does not show or a terminal obeys.

    That is control characters, halves of surrogate pairs, what turns the direction of writing, and
    what has no shape. Line breaks and tabs stay, and so does what joins two emoji; a space of any
    width is a space.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = _WITHOUT_SHAPE.sub(_escape_of, _SPACES.sub(" ", text))
    if shown.isprintable():
        return shown
    escaped_else = "".join(
        each if each.isprintable() or each in f"\n\t{_JOINER}" else _escape(each) for each in shown
    )
    # Last, because one that stood beside a character which was escaped joins nothing any more.
    return _JOINS_NOTHING.sub(_escape_of, escaped_else)


def in_one_line(text: str) -> str:
    r"""The text as `printable` has it, with escapes for line breaks and tabs, too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def shows(text: str) -> bool:
    """Whether every character of the text shows, so that it can be told from others by eye.

    An id has to. Letters of all scripts do; spaces of other widths, joiners and fillers do not.
    """
    if text.isascii():
        return text.isprintable()
    return text.isprintable() and not (_WITHOUT_SHAPE.search(text) or _EMOJI_OR_NOT.search(text))


def clipped(text: str, *, most_bytes: int) -> str:
    r"""A text of others as a message may quote it, in one line of at most so many bytes of UTF-8.

    A secret of ours is replaced by `***`, before the text is cut: a part of it would stay readable.
    Characters that do not show, or that a terminal obeys, are escaped: `\x1b`, `\u202e`. `…` ends a
    text that was cut.
    """
    return _cut(in_one_line(_redacted_beginning(text, most_bytes)), most_bytes)


def clipped_lines(text: str, *, most_bytes: int) -> str:
    """The text as `clipped` has it, with its line breaks and tabs."""
    return _cut(printable(_redacted_beginning(text, most_bytes)), most_bytes)


def _redacted_beginning(text: str, most_bytes: int) -> str:
    # Every character takes a byte at least, so the rest of a huge text need not be looked at.
    looked_at = 4 * most_bytes + 1_000
    if len(text) <= looked_at:
        return redacted(text)
    # The last characters may be the beginning of a secret that goes on behind them.
    return redacted(text[:looked_at])[:-PART] + _MARK


def _cut(shown: str, most_bytes: int) -> str:
    encoded = shown.encode()
    if len(encoded) <= most_bytes:
        return shown
    room = most_bytes - len(_MARK.encode())
    if room < 0:
        return ""
    return encoded[:room].decode(errors="ignore").rstrip(_JOINER) + _MARK


def _escape_of(found: re.Match[str]) -> str:
    return _escape(found[0])


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
