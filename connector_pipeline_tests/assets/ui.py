"""Reads a run as Dagster's UI does: by the webserver's own application, over GraphQL."""

import asyncio
from typing import Any

import httpx
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context

_LOG = """
query Log($run: ID!) { logsForRun(runId: $run, limit: 1000) { __typename
  ... on EventConnection { events { __typename
    ... on MessageEvent { message level stepKey eventType }
    ... on ExecutionStepFailureEvent {
      error { ...Error } failureMetadata { label metadataEntries { ...Entry } } }
    ... on MaterializationEvent { partition label description metadataEntries { ...Entry } }
    ... on AssetCheckEvaluationEvent { evaluation { checkName metadataEntries { ...Entry } } }
  } } } }
fragment Error on PythonError { message className stack
  cause { message stack } errorChain { isExplicitLink error { message stack } } }
fragment Entry on MetadataEntry { __typename label description
  ... on TextMetadataEntry { text }
  ... on JsonMetadataEntry { jsonString }
  ... on MarkdownMetadataEntry { mdStr }
  ... on UrlMetadataEntry { url }
  ... on TableMetadataEntry { table { records schema { columns { name } } } } }
"""


def events_of(instance: DagsterInstance, run_id: str) -> list[dict[str, Any]]:
    """The events of the run, as the page of the run gets them."""

    async def ask(app: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            question = {"query": _LOG, "variables": {"run": run_id}}
            return await client.post("/graphql", json=question)

    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        answer = asyncio.run(ask(create_app_from_workspace_process_context(context)))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert "errors" not in body, body
    found = body["data"]["logsForRun"]
    assert found["__typename"] == "EventConnection", found
    return found["events"]
