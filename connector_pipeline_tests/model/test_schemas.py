"""docs/schemas describes requests and events; the examples in docs/contracts.md agree with it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from connector_pipeline.model.events import (
    Envelope,
    FetchCompleted,
    FetchFailed,
    ProductsFetched,
    ShopErased,
)
from connector_pipeline.model.schemas import FOLDER, schemas, texts
from connector_pipeline.model.sync_request import SUBJECT, SyncRequest

ROOT = Path(__file__).parents[2]


def test_the_schemas_are_those_of_the_models() -> None:
    """A change of a model includes its schema."""
    kept = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / FOLDER).glob("*.json")}
    assert kept == texts(), "renew them: python -m connector_pipeline.model.schemas"


MODELS: dict[str, type[BaseModel]] = {
    SUBJECT: SyncRequest,
    "evt.platform.fetch.completed": Envelope[FetchCompleted],
    "evt.platform.fetch.failed": Envelope[FetchFailed],
    "evt.platform.products.fetched": ProductsFetched,
    "evt.platform.shop.erased": ShopErased,
}


@pytest.mark.parametrize("subject", MODELS)
def test_the_example_in_the_contract_fits_the_schema(subject: str) -> None:
    """The example parses, and holds every field that the schema requires and no other."""
    contract = (ROOT / "docs/contracts.md").read_text(encoding="utf-8")
    [example] = [
        example
        for example in map(json.loads, re.findall(r"```json\n(.*?)```", contract, re.DOTALL))
        if example.get("event_type") == subject
    ]
    data: dict[str, Any] = example["data"]
    MODELS[subject].model_validate(data if subject == SUBJECT else example)
    schema = schemas()[subject]
    given = data if subject == SUBJECT else example
    assert set(schema["required"]) <= given.keys() <= schema["properties"].keys()
