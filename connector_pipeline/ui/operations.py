"""The operations of a GraphQL document: whether a request that may change nothing may carry it."""

from typing import Final

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    parse,
)

_MOST_TOKENS: Final = 5_000
"""Far more than any query in a link. Parsing more would hold up the other requests."""


class UnreadableDocument(Exception):
    """A GraphQL document that does not parse; the text says why."""


def only_queries(document: str) -> bool:
    """Whether every operation of the document is a query.

    The one that would be executed (`operationName`) does not matter: nobody needs a mutation beside
    a query in a request that may not execute it. Raises UnreadableDocument.
    """
    try:
        definitions = parse(document, no_location=True, max_tokens=_MOST_TOKENS).definitions
    except GraphQLError as error:
        raise UnreadableDocument(error.message) from None
    except RecursionError:
        raise UnreadableDocument("Its selections are too deep.") from None
    return all(
        isinstance(definition, FragmentDefinitionNode)
        or (
            isinstance(definition, OperationDefinitionNode)
            and definition.operation is OperationType.QUERY
        )
        for definition in definitions
    )
