"""The JSON Schemas of sync requests and events, which docs/schemas holds for the neighbours.

    python -m connector_pipeline.model.schemas

writes them anew, in the project's folder.
"""

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from connector_pipeline.model.events import (
    DEAD_LETTERS,
    PRODUCTS_FETCHED,
    SHOP_ERASED,
    DeadLetter,
    Envelope,
    FetchCompleted,
    FetchFailed,
    OutcomeType,
    ProductsFetched,
    ShopErased,
)
from connector_pipeline.model.sync_request import SUBJECT, SyncRequest

FOLDER: Final = Path("docs/schemas")
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_SENT: Final[dict[str, type[BaseModel]]] = {
    OutcomeType.COMPLETED.value: Envelope[FetchCompleted],
    OutcomeType.FAILED.value: Envelope[FetchFailed],
    PRODUCTS_FETCHED: ProductsFetched,
    SHOP_ERASED: ShopErased,
    DEAD_LETTERS: DeadLetter,
}


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of the messages on each subject, by subject.

    That of a sync request describes the fields of a request that is not refused. They may also be
    the `data` of an envelope.
    """
    request = SyncRequest.model_json_schema()
    found = {SUBJECT: request}
    for subject, model in _SENT.items():
        found[subject] = model.model_json_schema(mode="serialization")
        properties = found[subject]["properties"]
        if "event_type" in properties:
            # The envelope of outcomes has one field for both.
            properties["event_type"] = {"const": subject, "type": "string"}
        found[subject].get("$defs", {}).pop(OutcomeType.__name__, None)
    return {
        subject: {"$schema": _DIALECT, **schema, "title": subject}
        for subject, schema in found.items()
    }


def texts() -> dict[str, str]:
    """The text of each file, by file name."""
    return {
        f"{subject}.json": json.dumps(schema, indent=2, sort_keys=True) + "\n"
        for subject, schema in schemas().items()
    }


def main() -> None:
    """Write the files into docs/schemas."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
