"""`connector-pipeline shops …` changes and shows the registry."""

from io import StringIO
from pathlib import Path

import pytest

from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.serves import Serves, mark
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.records import variants_of
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


def test_the_longest_key_and_any_files_name_are_printed_as_they_are(
    command: Command, tmp_path: Path
) -> None:
    """A line that is broken at the terminal's width is no key for another command."""
    domain = f"{'.'.join(letter * 63 for letter in 'abc')}.{'d' * 61}"
    added = command("shops", "add", f"woocommerce/{domain}", "--merchant-id", "m-1")
    assert added.out == f"woocommerce/{domain}: added.\n"
    file = tmp_path / "[bold]shops.csv"
    file.write_text(HEADER)
    assert command("shops", "import", str(file)).out.startswith(f"{file}: ")


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


def test_a_resumed_shop_waits_in_the_queue(command: Command, database: Database) -> None:
    """The remedy of a disconnected shop promises that it is synced at once."""
    command("shops", "add", ACME, "--merchant-id", "m-1")
    waiting = "SELECT platform_name || '/' || domain, reason, state FROM connector.sync_queue"
    for words, expected in (("pause", []), ("resume", [(ACME, "change", "waiting")])):
        command("shops", words, ACME)
        with database.connect() as connection:
            assert connection.execute(waiting).fetchall() == expected


def test_an_empty_list_of_a_state_says_nothing_about_the_registry(command: Command) -> None:
    """An operator who looks for disconnected shops is not asked to register any."""
    assert "shops add" in command("shops", "list").err
    command("shops", "add", ACME, "--merchant-id", "m-1")
    assert command("shops", "list", "--state", "disconnected").err == "No shop is disconnected.\n"


def test_the_list_names_the_error_of_a_failing_shop(command: Command, database: Database) -> None:
    """A shop that fails is active all the same, so its state does not show it.

    `shops show` and `shops health` have the cause and the remedy in the same words.
    """
    with database.connect() as connection:
        mark(connection, Serves.SANDBOX)
    command("shops", "add", ACME, "--merchant-id", "m-1")
    assert command("sync", ACME).status == 1
    rows = {row["shop"]: row for row in command("shops", "list", "--json").rows()}
    assert (rows[ACME]["state"], rows[ACME]["last_error_code"]) == ("active", "AccessRefused")
    assert "AccessRefused" in command("shops", "list").out
    [shown] = command("shops", "show", ACME, "--json").rows()
    assert shown["failing_since"] == rows[ACME]["failing_since"] < shown["next_try"]
    assert "The next sync asks again." in shown["last_error_message"]
    assert "The next sync asks again." in command("shops", "show", ACME).out
    [health] = command("shops", "health", "--json").rows()
    [cause] = health["causes"]
    assert (cause["error_code"], cause["shops"], health["failing"]) == ("AccessRefused", 1, 1)
    assert cause["remedy"].startswith("The next sync asks again. Meanwhile")
    printed = command("shops", "health").out
    assert f"  {ACME} (active) since " in printed
    assert f": {shown['last_error_message']}\n" in printed
    assert "1 never, since their registration" in printed
    assert "of the active ones 1 fails" in printed
    assert "path:" not in command("shops", "show", ACME).out
    assert command("shops", "show", "shopify/unknown.myshopify.com").status == 1


def test_a_shop_that_is_synced_well_shows_what_its_checks_find(
    command: Command, sandbox: SandboxServer, sandbox_shops: list[str]
) -> None:
    """A price below 0 is published as the shop has it, and no sync fails by it."""
    key = sandbox_shops[0]
    shop = sandbox.store.shop(*key.split("/"))
    product = next(iter(shop.products()))
    shop.edit_variant(variants_of(product)[0].id, {"price": "-5"})
    assert command("sync", key).status == 0
    [shown] = command("shops", "show", key, "--json").rows()
    [finding] = shown["findings"]
    assert (shown["last_error_code"], finding["check"]) == (None, "prices_not_negative")
    assert finding["found"].startswith("1 of ")
    assert "Ask the merchant to correct the prices" in command("shops", "show", key).out


def states(command: Command) -> dict[str, str]:
    return {row["shop"]: row["state"] for row in command("shops", "list", "--json").rows()}


MANY = [f"shopify/shop-{number}.myshopify.com" for number in range(3)]
ELSEWHERE = "woocommerce/shop.example.com"


def register_many(command: Command) -> None:
    for shop in (*MANY, ELSEWHERE):
        command("shops", "add", shop, "--merchant-id", "m-1")


def test_many_shops_are_paused_and_resumed_by_one_command(command: Command) -> None:
    """They are named, or selected by their state and platform. JSON has a line for each."""
    register_many(command)
    assert "2 shops: paused." in command("shops", "pause", *MANY[:2]).out
    assert command("shops", "pause", ELSEWHERE).status == 0
    resumed = command("shops", "resume", "--state", "paused", "--platform", "shopify", "--json")
    assert resumed.rows() == [{"shop": shop, "outcome": "active"} for shop in MANY[:2]]
    assert states(command) == dict.fromkeys(MANY, "active") | {ELSEWHERE: "paused"}
    assert command("shops", "resume", "--state", "paused").status == 0
    assert set(states(command).values()) == {"active"}
    assert "0 shops: active." in command("shops", "resume", "--state", "disconnected").out


@pytest.mark.parametrize("through", ["file", "standard input"])
def test_the_shops_of_a_file_are_resumed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    """It has one partition key a line. Empty lines are none."""
    register_many(command)
    command("shops", "pause", *MANY)
    text = f"{MANY[0]}\n\n  {MANY[2]}  \n"
    file = tmp_path / "shops.txt"
    file.write_text(text)
    monkeypatch.setattr("sys.stdin", StringIO(text))
    assert command("shops", "resume", "--file", str(file) if through == "file" else "-").status == 0
    assert states(command) == {
        MANY[0]: "active",
        MANY[1]: "paused",
        MANY[2]: "active",
        ELSEWHERE: "active",
    }


def test_unknown_shops_among_many_are_named_and_the_others_changed(command: Command) -> None:
    """The command fails, because it did not do all that it was asked to."""
    register_many(command)
    ended = command("shops", "pause", MANY[0], ACME, MANY[1])
    assert ended.status == 1
    assert ended.err.count("UnknownShop: ") == 1
    assert ACME in ended.err
    assert [states(command)[shop] for shop in MANY] == ["paused", "paused", "active"]


def test_shops_to_change_must_be_named_or_selected_by_state(command: Command) -> None:
    """`shops resume --platform shopify` would resume what somebody paused on purpose."""
    register_many(command)
    command("shops", "pause", MANY[0])
    for words in ((), ("--platform", "shopify")):
        assert command("shops", "resume", *words).status == 2
    assert command("shops", "resume", MANY[0], "nonsense").status == 2
    assert states(command)[MANY[0]] == "paused"


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
