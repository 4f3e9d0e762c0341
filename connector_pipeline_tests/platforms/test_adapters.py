"""Promises about which platforms there are: built-in ones, and those that packages bring."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import connector_pipeline
from connector_pipeline.model.errors import AdapterMissing, InvalidShop
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.adapters import (
    BUILT_IN,
    GROUP,
    adapter_class,
    adapter_classes,
    adapter_of,
    build_adapters,
    find_adapters,
    found_adapters,
    parse_shop_key,
    platform_names,
    valid_domain,
)
from connector_pipeline.platforms.kit.contract import Credentials
from connector_pipeline.settings import SettingsError, load_settings
from connector_pipeline_tests.platforms.stand_in_package import ADAPTER, install

Installed = Callable[[Path], None]


def test_the_built_in_platforms_are_named_as_shops_are_registered() -> None:
    """Partition keys and the rows of the catalog have these names, so they may not change."""
    assert {"shopify", "woocommerce"} <= set(BUILT_IN)
    assert all(issubclass(each.credentials_model, Credentials) for each in BUILT_IN.values())
    for name, each in BUILT_IN.items():
        assert valid_domain(name, each.example_domain) == each.example_domain


def test_adapters_are_made_from_the_settings() -> None:
    """They come by the name of their platform, and say where else credentials go."""
    made = build_adapters(load_settings())
    assert list(made) == list(platform_names())
    assert {name: each.asked_elsewhere for name, each in made.items()} == dict.fromkeys(made)
    elsewhere = "https://proxy.internal/{domain}"
    moved = build_adapters(
        load_settings(shopify_base_url=elsewhere, woocommerce_base_url=elsewhere)
    )
    for name in ("shopify", "woocommerce"):
        assert moved[name].asked_elsewhere == elsewhere


def test_a_package_brings_an_adapter_by_being_installed(tmp_path: Path) -> None:
    """The connector does not change: a new process finds the adapter by its metadata."""
    folder = install(tmp_path / "site")
    program = """
import json
from connector_pipeline.platforms import adapters
from connector_pipeline.settings import load_settings
print(json.dumps([
    adapters.platform_names(),
    [type(each).__name__ for each in adapters.build_adapters(load_settings()).values()],
    adapters.parse_shop_key("stand_in/acme.stand-in.example"),
    adapters.adapter_class("stand_in").credentials_model.__name__,
]))
"""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        cwd=Path(connector_pipeline.__path__[0]).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(ended.stdout) == [
        [*BUILT_IN, "stand_in"],
        [*(each.__name__ for each in BUILT_IN.values()), "StandInAdapter"],
        ["stand_in", "acme.stand-in.example"],
        "StandInCredentials",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "raise RuntimeError('no such library')"}, "RuntimeError: no such library"),
        ({"source": "import sys; sys.exit(3)"}, "SystemExit: 3"),
        ({"source": "syntax error"}, "SyntaxError"),
        ({"attribute": "Absent"}, "AttributeError"),
        ({"attribute": "StandInCredentials"}, "is no subclass of"),
        ({"source": ADAPTER.replace("def normalize", "def n")}, "lacks normalize"),
        ({"name": "another"}, "has another platform_name: 'stand_in'"),
        ({"name": "Stand In"}, "is not the name of a platform"),
        ({"source": ADAPTER.replace("    example_domain", "    x")}, "has no example_domain"),
        ({"source": ADAPTER.replace("    credentials_model", "    x")}, "no credentials_model"),
    ],
)
def test_a_package_whose_adapter_cannot_be_used_is_named_and_the_others_go_on(
    tmp_path: Path, installed: Installed, changes: dict[str, str], reason: str
) -> None:
    """The reason names the distribution, its version and the problem, for the operator."""
    module = f"broken_{abs(hash(tmp_path))}"
    installed(install(tmp_path, module=module, **changes))
    assert platform_names() == tuple(BUILT_IN)
    [unusable] = found_adapters().unusable
    assert "stand-in-connector 1.2" in unusable.reason
    assert reason in unusable.reason
    with pytest.raises(InvalidShop, match=r"stand-in-connector 1\.2"):
        adapter_class(changes.get("name", "stand_in"))


def test_the_name_of_a_built_in_platform_is_not_given_away(
    tmp_path: Path, installed: Installed
) -> None:
    """A package that claims it would get the merchants' credentials."""
    installed(install(tmp_path, name="shopify"))
    assert adapter_classes() == BUILT_IN
    [unusable] = found_adapters().unusable
    assert "stand-in-connector 1.2" in unusable.reason


def test_of_two_packages_that_claim_one_name_neither_is_used(
    tmp_path: Path, installed: Installed
) -> None:
    """Nobody could say which of them gets the credentials. The reason names both."""
    installed(install(tmp_path / "one"))
    installed(install(tmp_path / "two", distribution="other-connector", module="other_connector"))
    assert adapter_classes() == BUILT_IN
    [unusable] = found_adapters().unusable
    assert "stand-in-connector 1.2" in unusable.reason
    assert "other-connector 1.2" in unusable.reason


def test_an_entry_point_without_a_distribution_is_refused_by_its_value() -> None:
    """A program that was not installed can make such an entry point."""
    found = find_adapters([EntryPoint("stand_in", "no_such_module:Adapter", GROUP)])
    assert list(found.classes) == list(BUILT_IN)
    assert "no_such_module:Adapter" in found.unusable[0].reason


def test_an_installed_adapter_that_cannot_be_made_leaves_the_others(
    tmp_path: Path, installed: Installed, caplog: pytest.LogCaptureFixture
) -> None:
    """Its shops are not synced, and the log has the reason."""
    failing = ADAPTER.replace("return cls()", "raise KeyError('x')")
    installed(install(tmp_path / "one", module="unmakeable", source=failing))
    made = build_adapters(load_settings())
    assert list(made) == list(BUILT_IN)
    assert "stand_in" in caplog.text
    shop = Shop(merchant_id="m", platform_name="stand_in", platform_shop_id="1", domain="a.example")
    with pytest.raises(AdapterMissing, match="no adapter for the platform stand_in"):
        adapter_of(shop, made)


def test_a_wrong_variable_of_an_installed_adapter_stops_the_start(
    tmp_path: Path, installed: Installed
) -> None:
    """It does so as every other wrong variable."""
    strict = ADAPTER.replace(
        "return cls()",
        "from connector_pipeline.settings import SettingsError; raise SettingsError(['X: wrong.'])",
    )
    installed(install(tmp_path, module="strict_adapter", source=strict))
    with pytest.raises(SettingsError, match="X: wrong"):
        build_adapters(load_settings())


def test_an_unknown_platform_is_refused_with_those_there_are() -> None:
    """The name may be written in any way."""
    for name in ("magento", "Shopify", "", "x" * 5000, "\x1b[31m"):
        with pytest.raises(InvalidShop, match=f"is not a platform we know: {', '.join(BUILT_IN)}"):
            adapter_class(name)
        with pytest.raises(InvalidShop) as caught:
            parse_shop_key(f"{name}/acme.example")
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("acme.myshopify.com", "expected platform/domain, e.g. shopify/acme.myshopify.com"),
        ("shopify/acme.example.com", "is not a Shopify shop's domain"),
        ("woocommerce/127.0.0.1", "is not a host name"),
        ("stand_in/evil.example", "is not a stand-in shop's domain"),
        ("stand_in/UPPER.stand-in.example", "is not a host name"),
        ("stand_in/a b.stand-in.example", "is not a host name"),
    ],
)
def test_a_key_is_held_to_its_platforms_domains_and_to_its_form(
    tmp_path: Path, installed: Installed, key: str, reason: str
) -> None:
    """A domain that an adapter accepts must be a host name too, because URLs are built from it."""
    installed(install(tmp_path))
    with pytest.raises(InvalidShop, match=reason):
        parse_shop_key(key)


@given(st.text())
def test_no_text_breaks_the_parser(key: str) -> None:
    """Any text is a key that reads back the same, or raises InvalidShop."""
    try:
        platform_name, domain = parse_shop_key(key)
    except InvalidShop:
        return
    assert f"{platform_name}/{domain}" == key


PACKAGE = Path(connector_pipeline.__path__[0])
NAMED_IN = (
    *(f"platforms/{name}/" for name in BUILT_IN),
    "platforms/adapters.py",
    "settings.py",
    # It explains the settings to an operator.
    "cli/env_file.py",
    # It shows an operator what to type.
    "cli/examples.py",
    "sandbox/",
)


def test_no_other_module_names_a_platform() -> None:
    """A third platform takes one line in adapters.py and a folder. Facts may be cited."""
    cited = re.compile(r"docs/facts/\w+\.md")
    named = re.compile("|".join(BUILT_IN), re.IGNORECASE)
    found: set[str] = set()
    for path in sorted(PACKAGE.rglob("*")):
        module = path.relative_to(PACKAGE).as_posix()
        if not path.is_file() or path.suffix == ".pyc" or module.startswith(NAMED_IN):
            continue
        if named.search(module) or named.search(cited.sub("", path.read_text(encoding="utf-8"))):
            found.add(module)
    assert found == set()
