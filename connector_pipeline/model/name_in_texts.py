"""Find a domain in texts that hold others, too, and put something else in its place."""

import re
from pathlib import Path
from typing import Final

PLACEHOLDER: Final = "erased.invalid"
"""It stands where an erased shop's domain stood: a host name that nobody can have (RFC 2606)."""

_READ_AT_ONCE: Final = 1024 * 1024
_LOOKED_AT_AGAIN: Final = 1024
"""Bytes: more than a domain and what is looked at around it."""


def pattern(domain: str) -> str:
    r"""The regular expression, for Python and Postgres, that finds the domain and no longer one.

    `acme.example` is no part of `shop.acme.example`, `acme.example.com` or `my-acme.example`. A
    letter before it may end an escape of JSON (`\n`) or of a URL (`%2F`).
    """
    escaped = re.escape(domain).replace("\\-", "-")
    return (
        rf"(?:(?<=\\[nrtbf])|(?<=%2[fF])|(?<![A-Za-z0-9.-])){escaped}(?![A-Za-z0-9-]|\.[A-Za-z0-9])"
    )


def replace_in_file(path: Path, domain: str) -> int:
    """Overwrite the domain in a file by as many `x`. Returns how often.

    In place: a process that has the file open to append to it goes on as before. A file that is
    gone has none. Raises OSError.
    """
    wanted = re.compile(pattern(domain).encode())
    found: set[int] = set()
    try:
        with path.open("r+b") as file:
            start, kept = 0, b""
            while read := file.read(_READ_AT_ONCE):
                text = kept + read
                end_of_read = file.tell()
                for each in wanted.finditer(text):
                    found.add(start + each.start())
                    file.seek(start + each.start())
                    file.write(b"x" * len(domain))
                file.seek(end_of_read)
                # A name that this read's end cuts is looked at once more, with what precedes it.
                kept = text[-_LOOKED_AT_AGAIN:]
                start += len(text) - len(kept)
    except FileNotFoundError:
        return 0
    return len(found)
