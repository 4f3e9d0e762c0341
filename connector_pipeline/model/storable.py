"""Text that Postgres can store. JSON can send NUL and half of a surrogate pair; Postgres cannot."""


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


def clipped(text: str, *, most_bytes: int) -> str:
    r"""The text in at most so many bytes, with `…` at the end of a text that was cut.

    Characters that do not show, or that a terminal obeys, are escaped: `\x1b`, `\u202e`.
    """
    # Every character takes a byte at least, so the rest of a huge text need not be looked at.
    shown = text[: most_bytes + 1]
    if not shown.isprintable():
        shown = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown
        )
    encoded = shown.encode()
    if len(encoded) <= most_bytes:
        return shown
    mark = "…"
    return encoded[: most_bytes - len(mark.encode())].decode(errors="ignore") + mark
