"""The error for a shop that is not in the registry, with the registered ones of a similar name."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

import psycopg

from connector_pipeline.model.errors import UnknownShop
from connector_pipeline.model.shop import parse_partition_key

_BETWEEN: Final = re.compile(r"""[/?#:@'"\s]+""")
_NAMED: Final = 3
_ALIKE: Final = 0.8
_COMPARED: Final = 2_000

# One slip of the fingers leaves the first or the second half of a name as it is.
_SIMILAR: Final = """
    SELECT platform_name || '/' || domain FROM connector.shops
    WHERE domain = ANY (%(same)s)
        OR left(domain, %(half)s) = %(begin)s
        OR right(split_part(domain, '.', 1), %(half)s) = %(end)s
    ORDER BY domain = ANY (%(same)s) DESC, abs(length(domain) - %(length)s), platform_name, domain
    LIMIT %(most)s
"""


def unknown_shop(connection: psycopg.Connection, key: str) -> UnknownShop:
    """The error for this partition key. It names registered shops that may have been meant."""
    platform_name, domain = parse_partition_key(key)
    same = _same(domain)
    found = _similar(connection, domain)
    meant = [each for each in found if each.partition("/")[2] in same]
    # The end of a name that all shops of a platform share must not make them alike.
    names = {each: _own_name(each) for each in found if each.startswith(f"{platform_name}/")}
    close = get_close_matches(_own_name(key), names.values(), n=_NAMED, cutoff=_ALIKE)
    meant += [each for name in close for each in names if names[each] == name]
    meant = list(dict.fromkeys(meant))[:_NAMED]
    if not meant:
        return UnknownShop("is not in the registry.", partition_key=key)
    return UnknownShop(
        f"is not in the registry; {' and '.join(meant)} {'is' if len(meant) == 1 else 'are'}.",
        partition_key=key,
        remedy=f"Use that name if it was meant. Otherwise: {UnknownShop.default_remedy}",
    )


def shops_like(connection: psycopg.Connection, typed: str) -> Sequence[str]:
    """The registered shops, at most three, that a text which is no partition key may stand for.

    This is a name, a domain or a key with a slip, of any platform. The likest is first.
    """
    domain = _typed_domain(typed)
    found = _similar(connection, domain)
    meant = [key for key in found if key.partition("/")[2] in _same(domain)]
    names = {key: (_own_name(key), _label(key)) for key in found}
    every = {name for each in names.values() for name in each}
    close = get_close_matches(_own_name(f"/{domain}"), every, n=_NAMED, cutoff=_ALIKE)
    meant += [key for name in close for key, each in names.items() if name in each]
    return list(dict.fromkeys(meant))[:_NAMED]


def _typed_domain(typed: str) -> str:
    """The part of a mistyped key, or of the URL of a page of the shop, that may be its domain."""
    parts = [each for each in _BETWEEN.split(typed.lower()) if each]
    with_dot = (each for each in parts if "." in each)
    return next(with_dot, parts[-1] if parts else "")


def _same(domain: str) -> list[str]:
    return [domain, domain.removeprefix("www."), f"www.{domain}"]


def _similar(connection: psycopg.Connection, domain: str) -> list[str]:
    label = domain.partition(".")[0]
    half = max(2, len(label) // 2)
    rows = connection.execute(
        _SIMILAR,
        {
            "same": _same(domain),
            "half": half,
            "begin": domain[:half],
            "end": label[-half:],
            "length": len(domain),
            "most": _COMPARED,
        },
    ).fetchall()
    return [key for (key,) in rows]


def _label(key: str) -> str:
    return key.partition("/")[2].removeprefix("www.").partition(".")[0]


def _own_name(key: str) -> str:
    """The part of a domain that distinguishes the shop: `acme` of acme.example.com."""
    domain = key.partition("/")[2].removeprefix("www.")
    name, _, rest = domain.partition(".")
    return name if rest.count(".") == 1 else domain
