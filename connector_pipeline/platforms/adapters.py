"""The seam: the one place that names the platforms, each with its adapter.

An installed package may bring another adapter by an entry point of the group GROUP. The entry
point's name is the platform's name, and its object is a subclass of `Adapter`
(https://packaging.python.org/en/latest/specifications/entry-points/). An entry point that cannot be
used is left out with the reason, and the other platforms go on.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from types import MappingProxyType
from typing import Any, Final

from connector_pipeline.model.errors import AdapterMissing, InvalidShop
from connector_pipeline.model.shop import (
    Shop,
    parse_partition_key,
    valid_host_name,
    valid_path,
    valid_platform_name,
)
from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.kit.contract import Adapter, Credentials
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.settings import Settings, SettingsError

GROUP: Final = "connector_pipeline.platforms"

BUILT_IN: Final[Mapping[str, type[Adapter]]] = MappingProxyType(
    {each.platform_name: each for each in (ShopifyAdapter, WooCommerceAdapter)}
)
"""The adapters of this package, by their platforms' names."""

_SHOWN: Final = 80
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnusableAdapter:
    """An entry point that brings no adapter, or several of one name, with the reason."""

    platform_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class FoundAdapters:
    """The usable adapter classes by platform name, and the entry points that bring no adapter."""

    classes: Mapping[str, type[Adapter]]
    unusable: tuple[UnusableAdapter, ...]


def find_adapters(installed: Iterable[EntryPoint]) -> FoundAdapters:
    """The built-in adapters and those of these entry points.

    An entry point cannot replace a built-in adapter. A name that two entry points claim goes to
    neither: nobody could say which of the packages gets the merchants' credentials.
    """
    classes = dict(BUILT_IN)
    unusable: list[UnusableAdapter] = []
    claims: defaultdict[str, list[EntryPoint]] = defaultdict(list)
    for entry_point in installed:
        claims[entry_point.name].append(entry_point)
    for name, claimants in sorted(claims.items()):
        try:
            classes[name] = _loaded(name, claimants)
        except _UnusableError as error:
            unusable.append(UnusableAdapter(name, str(error)))
    return FoundAdapters(MappingProxyType(classes), tuple(unusable))


@cache
def found_adapters() -> FoundAdapters:
    """The adapters of this process, and the installed ones that cannot be used.

    A process looks for them once, so a package that is installed later takes a restart.
    `found_adapters.cache_clear()` makes it look again.
    """
    found = find_adapters(entry_points(group=GROUP))
    for each in found.unusable:
        _log.error("%s", each.reason)
    return found


def adapter_classes() -> Mapping[str, type[Adapter]]:
    """The usable adapter classes, built in or installed, by the platform's name."""
    return found_adapters().classes


def platform_names() -> tuple[str, ...]:
    """The names of the platforms that have an adapter, the built-in ones first."""
    return tuple(adapter_classes())


def adapter_class(platform_name: str) -> type[Adapter]:
    """The adapter class of a platform. Raises InvalidShop, which lists the known platforms."""
    found = found_adapters()
    if platform_name in found.classes:
        return found.classes[platform_name]
    reasons = [each.reason for each in found.unusable if each.platform_name == platform_name]
    raise InvalidShop(
        f"{platform_name[:_SHOWN]!r} is not a platform we know: {', '.join(found.classes)}"
        + "".join(f" ({reason})" for reason in reasons)
    )


def build_adapters(settings: Settings) -> Mapping[str, Adapter]:
    """Every platform's adapter under these settings, by the platform's name.

    Raises SettingsError where an adapter does, so that a wrong variable stops the start. An
    installed adapter that raises another error is left out with an error in the log, and the other
    platforms go on.
    """
    built: dict[str, Adapter] = {}
    for name, found in adapter_classes().items():
        try:
            built[name] = found.from_settings(settings)
        except SettingsError:
            raise
        except Exception as error:
            if name in BUILT_IN:
                raise
            _log.exception(
                "The adapter of the platform %s cannot be made (%s): its shops are not synced.",
                name,
                type(error).__name__,
            )
    return MappingProxyType(built)


def adapter_of(shop: Shop, adapters: Mapping[str, Adapter]) -> Adapter:
    """The adapter that reads the shop. Raises AdapterMissing where there is none."""
    found = adapters.get(shop.platform_name)
    if found is None:
        raise AdapterMissing(
            f"there is no adapter for the platform {shop.platform_name}: "
            f"there are {', '.join(adapters)}.",
            partition_key=shop.partition_key,
        )
    return found


def valid_domain(platform_name: str, domain: str) -> str:
    """The domain, if a shop of the platform may have it. Raises InvalidShop.

    The adapter must accept the domain, and it must have the form of a partition key's domain.
    """
    return valid_host_name(adapter_class(platform_name).valid_domain(domain))


def parse_shop_key(key: str) -> tuple[str, str]:
    """The platform's name and the domain of a partition key that a shop may be registered under.

    Raises InvalidShop where the text is no partition key, where the platform has no adapter, or
    where a shop of the platform cannot have the domain.
    """
    platform_name, slash, domain = key.partition("/")
    if not slash:
        name, example = next(iter(BUILT_IN.items()))
        raise InvalidShop(
            f"{key[:_SHOWN]!r} is not a partition key: expected platform/domain, "
            f"e.g. {name}/{example.example_domain}"
        )
    bare_domain, below, path = domain.partition("/")
    if below and adapter_class(platform_name).has_paths:
        valid_domain(platform_name, bare_domain)
        raise InvalidShop(
            f"{key[:_SHOWN]!r} names a path: the key of the shop is {platform_name}/{bare_domain}, "
            "and `connector-pipeline shops add` takes the path by itself: --path "
            f"{valid_path(below + path) or '/'}"
        )
    valid_domain(platform_name, domain)
    return parse_partition_key(key)


class _UnusableError(Exception):
    """The reason why entry points of one name bring no adapter."""


def _loaded(name: str, claimants: list[EntryPoint]) -> type[Adapter]:
    brought = f"The adapter for {name[:_SHOWN]!r} that {_distributions(claimants)} brings"
    if name in BUILT_IN:
        raise _UnusableError(f"{brought} is not used: the platform has a built-in one.")
    if len(claimants) > 1:
        raise _UnusableError(
            f"{brought} is not used: several claim that name. Uninstall all but one of them."
        )
    try:
        valid_platform_name(name)
        brought_object: Any = claimants[0].load()
    except InvalidShop as error:
        raise _UnusableError(f"{brought} is not used: {error}.") from error
    # A module that calls sys.exit when it is imported must not end the process either.
    except (Exception, SystemExit) as error:
        said = clipped(" ".join(str(error).split()), most_bytes=_SHOWN)
        raise _UnusableError(
            f"{brought} cannot be loaded from {claimants[0].value}: {type(error).__name__}: {said}"
        ) from error
    problem = _problem(name, brought_object)
    if problem is not None:
        raise _UnusableError(f"{brought} is not used: {claimants[0].value} {problem}.")
    return brought_object


def _problem(name: str, brought: Any) -> str | None:
    """The first reason why a loaded object is not the platform's adapter class, or None."""
    if not (isinstance(brought, type) and issubclass(brought, Adapter)):
        return f"is no subclass of {Adapter.__module__}.{Adapter.__qualname__}"
    if isabstract(brought):
        return f"lacks {', '.join(sorted(brought.__abstractmethods__))}"
    if getattr(brought, "platform_name", None) != name:
        return f"has another platform_name: {getattr(brought, 'platform_name', None)!r}"
    model = getattr(brought, "credentials_model", None)
    if not (isinstance(model, type) and issubclass(model, Credentials)):
        return f"has no credentials_model that is a subclass of {Credentials.__qualname__}"
    if not isinstance(getattr(brought, "example_domain", None), str):
        return "has no example_domain"
    return None


def _distributions(claimants: list[EntryPoint]) -> str:
    """The distributions that bring these entry points, with their versions."""
    named = [
        "an unnamed distribution"
        if each.dist is None
        else clipped(f"{each.dist.name} {each.dist.version}", most_bytes=_SHOWN)
        for each in claimants
    ]
    return " and ".join(dict.fromkeys(named))
