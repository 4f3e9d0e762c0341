"""Where requests come from, and how many of each source may be refused with care.

A refused request that is looked at with care costs a line in the log, and may cost a question to
Postgres and to the Token Service. So each source has a number of them, which grows again with time.
Beyond it a bad signature is refused without any of that; a good one is taken from any source.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

MOST_KEPT: Final = 10_000
"""Sources whose numbers are kept: the one that was refused the longest time ago is forgotten."""
BURST: Final = 60
REFUSALS_A_SECOND: Final = 1.0
LINES_AT_ONCE: Final = 600
LINES_A_SECOND: Final = 10.0
"""Of all sources together: a flood from a thousand addresses must not fill a disk with its log."""
_NETWORK_BITS: Final = 64
"""Bits of an IPv6 address that are given to one network: the rest is its owner's to choose."""

Network = IPv4Network | IPv6Network


def networks(written: str) -> Sequence[Network]:
    """The networks of WEBHOOKS_PROXIES."""
    return [ip_network(each) for each in written.split(",") if each]


def source_of(client: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """The source of a request: an IPv4 address, or the network of an IPv6 one.

    `client` is the address that is connected to us. Where that is a proxy of ours, its last word in
    X-Forwarded-For counts, and so on along proxies of ours. Whatever a stranger wrote before stays
    unread.
    """
    source = client
    for hop in reversed(["", *forwarded_for.split(",")]):
        if not _is_in(source, proxies) or not _is_address(hop.strip()):
            break
        source = hop.strip()
    return _network_of(source)


@dataclass(slots=True)
class Refusals:
    """Counts the refusals of each source. Times are seconds of a clock that never goes back."""

    _left: OrderedDict[str, tuple[float, float]] = field(
        default_factory=OrderedDict[str, tuple[float, float]]
    )
    """By source: how many were left, and when that was."""
    _lines: tuple[float, float] = (LINES_AT_ONCE, 0.0)

    def is_over(self, source: str, *, now: float) -> bool:
        """Whether the source has had more refusals than it may."""
        return self._now_left(source, now) < 1

    def count(self, source: str, *, now: float) -> bool:
        """Count a refusal. Returns whether it is one with care."""
        left = self._now_left(source, now)
        with_care = left >= 1
        self._left[source] = (left - 1 if with_care else left, now)
        self._left.move_to_end(source)
        if len(self._left) > MOST_KEPT:
            self._left.popitem(last=False)
        return with_care

    def may_log(self, *, now: float) -> bool:
        """Count a line of the log. Returns whether it may be written."""
        left, at = self._lines
        left = min(float(LINES_AT_ONCE), left + (now - at) * LINES_A_SECOND)
        self._lines = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def _now_left(self, source: str, now: float) -> float:
        left, at = self._left.get(source, (float(BURST), now))
        return min(float(BURST), left + (now - at) * REFUSALS_A_SECOND)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(source: str, proxies: Sequence[Network]) -> bool:
    try:
        address = ip_address(source)
    except ValueError:
        return False
    return any(address in network for network in proxies)


def _network_of(source: str) -> str:
    try:
        address = ip_address(source)
    except ValueError:
        return source
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address) >> _NETWORK_BITS << _NETWORK_BITS, _NETWORK_BITS)))
