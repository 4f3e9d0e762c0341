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
