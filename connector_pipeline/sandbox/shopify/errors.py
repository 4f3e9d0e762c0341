"""Errors in Shopify's words: graphql-ruby's messages and codes in place of graphql-core's."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from graphql import FieldNode, GraphQLError, Node, OperationDefinitionNode

_RATE_LIMITS: Final = "https://shopify.dev/api/usage/rate-limits"

_UNKNOWN_FIELD: Final = re.compile(r"Cannot query field '(\w+)' on type '(\w+)'")
_UNKNOWN_ARGUMENT: Final = re.compile(r"Unknown argument '(\w+)' on field '(\w+)\.(\w+)'")
_MISSING_ARGUMENT: Final = re.compile(
    r"Field '(\w+)' argument '(\w+)' of type '([^']+)' is required"
)
_NO_SELECTION: Final = re.compile(
    r"Field '(\w+)' of type '(\S+)' must have a selection of subfields"
)
_UNUSED_VARIABLE: Final = re.compile(r"Variable '\$(\w+)' is never used(?: in operation '(\w+)')?")
_UNDEFINED_VARIABLE: Final = re.compile(
    r"Variable '\$(\w+)' is not defined(?: by operation '(\w+)')?"
)
_BAD_VARIABLE: Final = re.compile(
    r"Variable '\$(\w+)' (?:got invalid value (.*?)[;.]|of required type)"
)


def invalid_query(error: GraphQLError, document: Node | None = None) -> dict[str, Any]:
    """For a query that does not parse or fit the schema. The answer has no data and no cost."""
    message, extensions = _worded(error.message)
    found: dict[str, Any] = {"message": message}
    if error.locations:
        found["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    path = _document_path(document, error.nodes[0]) if document and error.nodes else []
    if path:
        found["path"] = path
    if extensions:
        found["extensions"] = extensions
    return found


def failed_field(error: GraphQLError) -> dict[str, Any]:
    """For a field that failed while it was executed."""
    found: dict[str, Any] = {"message": error.message}
    if error.locations:
        found["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    # An error that was raised with the code None has none.
    code = (error.extensions or {}).get("code", "BAD_REQUEST")
    if code is not None:
        found["extensions"] = {"code": code}
    if error.path:
        found["path"] = list(error.path)
    return found


def invalid_variable(error: GraphQLError) -> dict[str, Any]:
    """For a variable that does not fit its type."""
    found = _BAD_VARIABLE.match(error.message)
    if found is None:
        return invalid_query(error)
    explanation = error.message if found[2] else "Expected value to not be null"
    return {
        "message": f"Variable ${found[1]} was provided invalid value",
        "locations": [{"line": at.line, "column": at.column} for at in error.locations or []],
        "extensions": {
            "code": "INVALID_VARIABLE",
            "problems": [{"path": [], "explanation": explanation}],
        },
    }


def invalid_page(message: str, path: Iterable[str | int]) -> dict[str, Any]:
    """For a connection without a page size, or with one beyond its limit."""
    return {"message": message, "path": list(path), "extensions": {"code": "BAD_REQUEST"}}


def throttled() -> dict[str, Any]:
    """For a query that the bucket has too few points for. A client must try again.

    docs/facts/shopify.md, Errors in a 200.
    """
    return {
        "message": "Throttled",
        "extensions": {"code": "THROTTLED", "documentation": _RATE_LIMITS},
    }


def internal_error() -> dict[str, Any]:
    """For a query at which Shopify failed (docs/facts/shopify.md, Errors in a 200)."""
    return {
        "message": "Internal error. Looks like something went wrong on our end.",
        "extensions": {"code": "INTERNAL_SERVER_ERROR"},
    }


def max_cost_exceeded(cost: int, maximum: int) -> dict[str, Any]:
    """For a query that requests more points than any one query may."""
    return {
        "message": f"Query cost is {cost}, which exceeds the single query max cost limit "
        f"({maximum}).",
        "extensions": {
            "code": "MAX_COST_EXCEEDED",
            "cost": cost,
            "maxCost": maximum,
            "documentation": _RATE_LIMITS,
        },
    }


def _worded(message: str) -> tuple[str, dict[str, Any]]:
    if found := _UNKNOWN_FIELD.match(message):
        field, kind = found.groups()
        extensions = {"code": "undefinedField", "typeName": kind, "fieldName": field}
        return f"Field '{field}' doesn't exist on type '{kind}'", extensions
    if found := _UNKNOWN_ARGUMENT.match(message):
        argument, _, field = found.groups()
        extensions = {
            "code": "argumentNotAccepted",
            "name": field,
            "typeName": "Field",
            "argumentName": argument,
        }
        return f"Field '{field}' doesn't accept argument '{argument}'", extensions
    if found := _MISSING_ARGUMENT.match(message):
        field, argument, _ = found.groups()
        extensions = {
            "code": "missingRequiredArguments",
            "className": "Field",
            "name": field,
            "arguments": argument,
        }
        return f"Field '{field}' is missing required arguments: {argument}", extensions
    if found := _NO_SELECTION.match(message):
        field, kind = found[1], found[2].strip("'!")
        extensions = {"code": "selectionMismatch", "nodeName": f"field '{field}'", "typeName": kind}
        return (
            f"Field must have selections (field '{field}' returns {kind} but has no selections. "
            f"Did you mean '{field} {{ ... }}'?)",
            extensions,
        )
    if found := _UNUSED_VARIABLE.match(message):
        variable, operation = found.groups()
        by = operation or "anonymous query"
        extensions = {"code": "variableNotUsed", "variableName": variable}
        return f"Variable ${variable} is declared by {by} but not used", extensions
    if found := _UNDEFINED_VARIABLE.match(message):
        variable, operation = found.groups()
        by = operation or "anonymous query"
        extensions = {"code": "variableNotDefined", "variableName": variable}
        return f"Variable ${variable} is used by {by} but not declared", extensions
    return message, {}


def _document_path(document: Node, target: Node) -> list[str]:
    """graphql-ruby's path of a validation error: the operation, then the fields down to it."""
    if isinstance(document, OperationDefinitionNode):
        name = f" {document.name.value}" if document.name else ""
        here = [f"{document.operation.value}{name}"]
    elif isinstance(document, FieldNode):
        here = [document.alias.value if document.alias else document.name.value]
    else:
        here = []
    if document is target:
        return here
    for child in _children(document):
        below = _document_path(child, target)
        if below or child is target:
            return here + below
    return []


def _children(node: Node) -> Iterator[Node]:
    for key in node.keys:
        value = getattr(node, key, None)
        values = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
        yield from (each for each in values if isinstance(each, Node))
