"""Promises about the GraphQL documents."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    build_client_schema,
    parse,
    validate,
)

from connector_pipeline.platforms.shopify.bulk.queries import CATALOG
from connector_pipeline.platforms.shopify.queries import DOCUMENTS, PRODUCTS, changed_since
from connector_pipeline_tests.shared_files import shopify_schema


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    """Shopify's own schema of version 2026-07."""
    with gzip.open(shopify_schema()) as file:
        return build_client_schema(json.load(file)["data"], assume_valid=True)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_is_valid_in_shopifys_own_schema(schema: GraphQLSchema, name: str) -> None:
    """Version 2026-07 has the fields that we send, with our arguments and types."""
    assert validate(schema, parse(DOCUMENTS[name])) == []


def test_a_bulk_operation_asks_for_what_a_page_asks_for() -> None:
    """The same code maps both, so they must have the same fields."""
    assert fields(CATALOG) == fields(PRODUCTS)


def fields(document: str) -> set[str]:
    """The paths of a document's leaves, without connections and the cursors of pages."""
    parsed = parse(document)
    fragments = {
        each.name.value: each.selection_set
        for each in parsed.definitions
        if isinstance(each, FragmentDefinitionNode)
    }

    def below(selections: SelectionSetNode, path: str) -> Iterator[str]:
        for each in selections.selections:
            if isinstance(each, FragmentSpreadNode):
                yield from below(fragments[each.name.value], path)
            elif isinstance(each, FieldNode) and each.name.value != "pageInfo":
                wrapping = each.name.value in ("edges", "node", "nodes")
                here = path if wrapping else f"{path}.{each.name.value}"
                if each.selection_set is None:
                    yield here
                else:
                    yield from below(each.selection_set, here)

    (operation,) = (
        each for each in parsed.definitions if isinstance(each, OperationDefinitionNode)
    )
    return set(below(operation.selection_set, ""))


def test_changes_are_asked_for_from_the_second_on() -> None:
    """The time is in UTC and rounded down, so changes in the same second are not missed."""
    stockholm = timezone(timedelta(hours=1))
    since = datetime(2026, 11, 25, 1, 2, 3, 999_999, tzinfo=stockholm)
    assert changed_since(since) == "updated_at:>='2026-11-25T00:02:03Z'"
