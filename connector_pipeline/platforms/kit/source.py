"""What an adapter says of its platform to the people who look at the graph of assets."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PlatformSource:
    """The platform as the origin of the catalog.

    `title` is the platform's name as people write it. `reads` says in one or two sentences what is
    read there, as Markdown. `fields` has for each column of `catalog.catalog_items` that comes from
    an answer the platform's own names of the fields that it is made of.
    """

    title: str
    reads: str
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
