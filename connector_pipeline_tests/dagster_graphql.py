"""The GraphQL of Dagster's UI, asked as the UI asks it."""

import json
import urllib.request
from typing import Any


def ask(ui_url: str, query: str, variables: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """The data of the answer to a query, or to a mutation. Fails if the answer has errors."""
    request = urllib.request.Request(
        f"{ui_url}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        found: dict[str, Any] = json.load(answer)
    assert "errors" not in found, found
    return found["data"]
