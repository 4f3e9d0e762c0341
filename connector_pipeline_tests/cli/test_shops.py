"""`connector-pipeline shops …` changes and shows the registry."""

from pathlib import Path

import pytest

from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline_tests.cli.conftest import Command

ACME = "shopify/acme.myshopify.com"
HEADER = "merchant_id,platform_name,platform_shop_id,domain\n"


def test_a_shop_is_added_once(command: Command) -> None:
    """Adding it again changes nothing, and says so."""
    added = command("shops", "add", ACME, "--merchant-id", "m-1")
    assert (added.status, added.out) == (0, f"{ACME}: added.\n")
    assert command("shops", "add", ACME, "--merchant-id", "m-1").out == f"{ACME}: unchanged.\n"
    assert command("shops", "add", ACME, "--merchant-id", "m-2").out == f"{ACME}: updated.\n"
    [row] = command("shops", "list", "--json").rows()
    assert (row["shop"], row["merchant_id"], row["state"]) == (ACME, "m-2", "active")


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("acme", "acme"),
        ("magento/x.example", "magento"),
        ("shopify/ACME.myshopify.com", "ACME.myshopify.com"),
    ],
)
def test_a_malformed_shop_is_wrong_usage(command: Command, key: str, wrong: str) -> None:
    """The exit status is 2, and the message quotes the wrong part."""
    ended = command("shops", "add", key, "--merchant-id", "m-1")
    assert ended.status == 2
    assert repr(wrong) in ended.err


def test_a_platform_to_backfill_must_have_an_adapter(command: Command) -> None:
    """A typing error must not look like a platform without shops."""
    ended = command("backfill", "--platform", "magento")
    assert ended.status == 2
    assert ", ".join(BUILT_IN) in ended.err


def test_a_currency_must_be_a_code(command: Command) -> None:
    """A typing error must not become the currency of a catalog."""
    ended = command("shops", "add", ACME, "--merchant-id", "m-1", "--currency", "kronor")
    assert ended.status == 2
    assert "kronor" in ended.err


def test_a_file_is_imported_whole(command: Command, tmp_path: Path) -> None:
    """All of its shops are registered."""
    file = tmp_path / "shops.csv"
    file.write_text(HEADER + "m-1,shopify,1,acme.myshopify.com\nm-2,woocommerce,2,beta.example\n")
    imported = command("shops", "import", str(file), "--json")
    assert imported.rows() == [{"added": 2, "updated": 0, "unchanged": 0}]
    assert len(command("shops", "list", "--json").rows()) == 2


def test_a_file_with_bad_lines_registers_nothing(command: Command, tmp_path: Path) -> None:
    """The error names every bad line, and the good lines are not registered either."""
    file = tmp_path / "shops.csv"
    file.write_text(
        HEADER + "m-1,shopify,1,acme.myshopify.com\n,shopify,2,b.myshopify.com\nm-3,ebay,3,c.d\n"
    )
    ended = command("shops", "import", str(file))
    assert ended.status == 2
    assert [line.split(":")[0] for line in ended.err.splitlines()[1:]] == ["line 3", "line 4"]
    assert command("shops", "list", "--json").rows() == []


def test_a_shop_is_paused_resumed_and_removed(command: Command) -> None:
    """The list shows each state that an operator sets."""
    command("shops", "add", ACME, "--merchant-id", "m-1")
    for words, state in ((("pause", ACME), "paused"), (("resume", ACME), "active")):
        assert command("shops", *words).status == 0
        [row] = command("shops", "list", "--json").rows()
        assert row["state"] == state
    assert command("shops", "remove", ACME).status == 0
    assert command("shops", "list", "--json").rows() == []


@pytest.mark.parametrize("verb", ["pause", "resume", "remove"])
def test_an_unknown_shop_cannot_be_changed(command: Command, verb: str) -> None:
    """The error has its name, and the command that registers a shop."""
    ended = command("shops", verb, ACME)
    assert ended.status == 1
    assert ended.err.startswith("UnknownShop: ")
    assert "shops add" in ended.err


FOLDER = "woocommerce/example.com"


def path_of(command: Command) -> str:
    """The path of the only shop in the list."""
    [row] = command("shops", "list", "--json").rows()
    return row["path"]


def test_a_shop_is_registered_below_a_path(command: Command) -> None:
    """The path is no part of its key, and stays until another one is named."""
    add = ("shops", "add", FOLDER, "--merchant-id", "m-1")
    assert command(*add).out == f"{FOLDER}: added.\n"
    assert path_of(command) == ""
    assert command(*add, "--path", "/shop/").out == f"{FOLDER}: updated.\n"
    assert path_of(command) == "/shop"
    assert command(*add).out == f"{FOLDER}: unchanged.\n"
    assert path_of(command) == "/shop"
    assert command(*add, "--path", "/").out == f"{FOLDER}: updated.\n"
    assert path_of(command) == ""


@pytest.mark.parametrize(
    "path",
    [
        "shop",
        "/shop?x=1",
        "/shop#x",
        "/../shop",
        "/%2e%2e/shop",
        "/a/./b",
        "//evil.example",
        "/sh op",
        "/@evil.example\n",
        "/butik/böcker",
        "/a%2fb",
        "/a%5cb",
        "/%zz",
        "/" + "x" * 300,
    ],
)
def test_a_path_that_leads_elsewhere_is_wrong_usage(command: Command, path: str) -> None:
    """The key of a shop is sent below it."""
    ended = command("shops", "add", FOLDER, "--merchant-id", "m-1", "--path", path)
    assert ended.status == 2
    assert "is not the path of a shop" in ended.err
    assert command("shops", "list", "--json").rows() == []


def test_a_platform_without_folders_takes_no_path(command: Command) -> None:
    """Its shops have domains of their own."""
    ended = command("shops", "add", ACME, "--merchant-id", "m-1", "--path", "/shop")
    assert ended.status == 2
    assert "a shop of shopify has no path" in ended.err


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("woocommerce/example.com/shop", "/shop"),
        ("woocommerce/example.com/de/butik/", "/de/butik"),
        ("woocommerce/example.com/", "/"),
    ],
)
def test_a_pasted_path_is_answered_by_the_way_to_name_it(
    command: Command, key: str, path: str
) -> None:
    """The message has the key and the option."""
    ended = command("shops", "add", key, "--merchant-id", "m-1")
    assert ended.status == 2
    assert "the key of the shop is woocommerce/example.com," in ended.err
    assert f"--path {path}" in ended.err
    pasted = command("shops", "add", f"{ACME}/products", "--merchant-id", "m-1")
    assert pasted.status == 2
    assert "--path" not in pasted.err


def test_a_file_may_have_paths(command: Command, tmp_path: Path) -> None:
    """An empty one is a shop in no folder. Without the column, the paths stay as they are."""
    file = tmp_path / "shops.csv"
    shop = "m-1,woocommerce,1,example.com"
    with_path = HEADER.replace("\n", ",path\n")

    def imported(text: str) -> str:
        file.write_text(text)
        assert command("shops", "import", str(file)).status == 0
        return path_of(command)

    assert imported(f"{with_path}{shop},/shop\n") == "/shop"
    assert imported(f"{HEADER}{shop}\n") == "/shop"
    assert imported(f"{with_path}{shop},\n") == ""


def test_a_bad_path_of_a_file_is_named_by_its_line(command: Command, tmp_path: Path) -> None:
    """A platform without folders is too."""
    file = tmp_path / "shops.csv"
    file.write_text(
        HEADER.replace("\n", ",path\n")
        + "m-1,woocommerce,1,a.example,/shop\nm-1,woocommerce,2,b.example,shop\n"
        + "m-1,shopify,3,acme.myshopify.com,/shop\n"
    )
    ended = command("shops", "import", str(file))
    assert ended.status == 2
    assert [line.split(":")[0] for line in ended.err.splitlines()[1:]] == ["line 3", "line 4"]
