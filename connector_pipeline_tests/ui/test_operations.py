"""A GraphQL document that may change something is known, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.ui.operations import UnreadableDocument, only_queries


@pytest.mark.parametrize(
    "document",
    [
        "{ version }",
        "query { version }",
        "query mutation { version }",
        "query One { version } query Two { version }",
        "query One { ...Shown } fragment Shown on Query { version }",
        "# mutation { a }\n{ version }",
        '{ logs(of: "mutation { a }") }',
        "{ mutation { subscription } }",
    ],
)
def test_queries_are_queries(document: str) -> None:
    """Whatever their names, comments and texts are."""
    assert only_queries(document)


@pytest.mark.parametrize(
    "document",
    [
        "mutation { a }",
        "mutation{a}",
        "\ufeff mutation { a }",
        ",,,mutation,{a}",
        "# query { version }\nmutation { a }",
        "mutation Query { a }",
        "mutation query { a }",
        "query One { version } mutation Two { a }",
        "mutation Two { a } query One { version }",
        "mutation @include(if: true) { ...Query } fragment Query on Mutation { a }",
        "fragment Query on Mutation { a } mutation { ...Query }",
        "subscription { logs }",
        "query One { version } subscription Two { logs }",
        "{ version } type Query { version: String }",
    ],
)
def test_a_document_with_anything_else_is_not(document: str) -> None:
    """The operation that would be executed may be any of them."""
    assert not only_queries(document)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "mutation",
        "mutatio\u006e {",
        "MUTATION { a }",
        "{ a",
        "{" * 50_000,
        "[" * 50_000,
        "query {" + "a {" * 3_000 + "a" + "}" * 3_000 + "}",
        "{" + "a " * 50_000 + "}",
        "\udc80",
    ],
)
def test_what_does_not_parse_is_reported_as_that(document: str) -> None:
    """Neither its depth nor its length ends the server."""
    with pytest.raises(UnreadableDocument):
        only_queries(document)


BETWEEN = st.sampled_from([" ", "\n", ", ", "\t", "# mutation { a }\n", "\r\n#{\n", "\ufeff"])
QUERIES = st.sampled_from(["{ a }", "query { a }", "query A($b: Int = 1) { a(b: $b) }"])
FRAGMENTS = st.sampled_from(["fragment F on Query { a }", "fragment mutation on Query { a }"])
CHANGES = st.sampled_from(
    ["mutation { a }", "mutation A { a }", "mutation($b: Int) { a }", "subscription { a }"]
)


@given(st.lists(QUERIES | FRAGMENTS, max_size=4), st.none() | CHANGES, BETWEEN, st.data())
def test_one_operation_that_is_no_query_makes_the_difference(
    definitions: list[str], change: str | None, between: str, data: st.DataObject
) -> None:
    """Wherever it stands, and whatever stands between the operations."""
    if change is not None:
        definitions.insert(data.draw(st.integers(0, len(definitions))), change)
    if definitions:
        document = between + between.join(definitions) + between
        assert only_queries(document) is (change is None)


@given(st.text())
def test_any_text_is_judged(document: str) -> None:
    """Or reported as unreadable; no other error reaches the server."""
    try:
        only_queries(document)
    except UnreadableDocument:
        return
