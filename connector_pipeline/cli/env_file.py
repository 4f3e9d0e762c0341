"""The file `connector.env` of a deployment: every setting with its meaning, commented out."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pydantic import SecretStr

from connector_pipeline.settings import Settings, example_of

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "Databases and files": {
        "connector_database_url": "Postgres 15 or newer, for the schemas catalog and connector; as "
        "a user in the role connector_pipeline",
        "dagster_postgres_url": "Dagster's own database, of this deployment alone",
        "connector_home": "the folder of the raw archive, unless RAW_ARCHIVE_URL says otherwise; "
        "an absolute path, the same for all processes",
        "raw_archive_url": "where raw snapshots are kept; processes on several machines need one "
        "that all reach",
        "raw_archive_keep": "full snapshots kept for each shop, with the increments after them",
        "raw_archive_shop_limit": "what the snapshots of one shop may take",
    },
    "Processes": {
        "connector_code_server": "where the code server listens, and UI and daemon find it: "
        "host:port, or the path of a socket; whoever reaches it can launch runs",
        "connector_ui_hosts": "the names under which people reach the UI",
        "connector_owners": "the owners that the UI shows on the assets: team:NAME or an e-mail "
        "address, separated by commas",
        "connector_docs_url": "where the documents are served as a site, for the UI to link",
        "run_launcher": "default: the code server starts the runs. celery: workers execute them; "
        "the same for all processes",
        "celery_broker_url": "the Redis of the workers (extra `celery`)",
        "worker_runs_at_once": "processes of one worker, with one run each",
        "worker_finish_within": "how long a worker that is stopped lets its runs go on",
        "runs_at_once": "runs that go on at once; unset: 4, or with Celery as many as there are "
        "worker processes",
        "shops_per_run": "shops in one run of many",
        "shops_at_once": "shops of one run that are fetched at once",
    },
    "Token Service": {
        "token_service_url": "the service that gives credentials of shops",
        "token_service_timeout": "seconds that one try may take",
        "internal_jwt_secret": "if set, it signs the bearer token of calls to the Token Service",
    },
    "When shops are synced": {
        "sync_cron": "when all shops are put into the queue, in UTC",
        "full_sync_every": "how old the last full sync may be before the next one is full",
        "connector_shop_deadline": "how long reading one shop may take",
        "connector_shop_wait": "how long a run waits for another run of the same shop",
        "connector_max_retries": "retries of a request that failed for a passing reason",
        "connector_retry_delay": "seconds before the first retry; each further one waits longer",
    },
    "Hints of changes": {
        "webhooks_url": "the URL under which platforms reach `connector-pipeline webhooks`",
        "webhook_keys": "the key from which each shop's webhook secret is made, where the shop has "
        "its own; while it is replaced: the new one, a space, the old one",
        "shopify_webhook_secrets": "the secrets of the Shopify apps, separated by spaces; while "
        "one is replaced: both",
        "webhooks_proxies": "the proxies before the receiver, networks separated by commas; unset: "
        "none",
        "hint_pause": "how long a hint waits for further ones of its shop",
        "change_looks_per_minute": "looks at change feeds, of all shops together; 0: none",
        "change_look_every": "the shortest time between two looks at a shop's change feed",
    },
    "Shopify": {
        "shopify_api_version": "the API version that is asked for",
        "shopify_batch_size": "products of a page",
        "shopify_bulk_threshold": "a full sync of more products goes by a bulk operation",
        "shopify_bulk_hosts": "hosts that a bulk result may be downloaded from",
        "shopify_base_url": "where shops are asked; another value is for sandboxes and proxies",
    },
    "WooCommerce": {
        "woocommerce_batch_size": "objects of a page",
        "woocommerce_statuses": "statuses of products that are read",
        "woocommerce_max_concurrency": "the most requests to one shop at once",
        "woocommerce_allow_http": "read shops without HTTPS, by signed requests",
        "woocommerce_base_url": "where shops are asked; another value is for sandboxes and proxies",
    },
    "Network": {
        "connector_proxy_url": "the proxy through which shops are asked",
        "connector_no_proxy": "hosts that are asked without it",
        "allow_private_hosts": "let shops resolve to private addresses: for sandboxes only",
    },
    "Watching and keeping": {
        "alert_webhook_url": "where alerts are sent, several URLs separated by spaces; unset: into "
        "the log alone",
        "log_format": "text, or json: one object a line",
        "event_log_keep": "how long Dagster's runs and events are kept",
        "sync_log_keep": "how long ended syncs are kept",
    },
    "Events (extra `nats`)": {
        "nats_url": "NATS with JetStream for requests and outcomes; unset: off",
        "nats_stream": "the stream of both",
        "nats_user": "the user",
        "nats_password": "the user's password",
        "nats_token": "a token, in place of a user",
        "nats_credentials_file": "a file of credentials, in place of a user",
        "nats_tls_ca_file": "the authority of the server's certificate",
        "nats_tls_cert_file": "the client's certificate",
        "nats_tls_key_file": "its key",
        "publish_product_batches": "publish the products of each sync, too",
    },
}
"""What each setting means, below the headings of the file."""

_HEAD: Final = """\
# The environment of every process of connector-pipeline. It will hold secrets: keep it private.
# Empty variables count as unset. A shell reads this file: put a value
# with spaces or any of & ; ? * $ # ( ) into single quotes.

# The folder of dagster.yaml.
DAGSTER_HOME={folder}
"""


def env_file(folder: str, known: Mapping[str, str]) -> str:
    """The text of the file for a deployment in `folder`.

    `known` are the settings that are not commented out, by the names of Settings.
    """
    lines = [_HEAD.format(folder=folder)]
    for heading, settings in GROUPS.items():
        lines.append(f"# --- {heading}\n")
        for name, meaning in settings.items():
            default = _shown(Settings.model_fields[name].default)
            lines.append(f"# {meaning[0].upper()}{meaning[1:]}. {default}")
            lines.append(
                f"{name.upper()}={known[name]}" if name in known else f"# {example_of(name)}"
            )
            lines.append("")
    return "\n".join(lines)


_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def _shown(default: object) -> str:
    """The default as a sentence."""
    match default:
        case None | "" | SecretStr():
            return "Default: unset."
        case bool():
            return f"Default: {str(default).lower()}."
        case timedelta():
            seconds = int(default.total_seconds())
            # Days where they are written so, but 24h stays what it is.
            unit, size = next(
                (unit, size)
                for unit, size in _UNITS
                if seconds % size == 0 and (seconds > size or size == 1)
            )
            return f"Default: {seconds // size}{unit}."
        case int() if default >= 10**9 and default % 10**9 == 0:
            return f"Default: {default // 10**9}GB."
        case _:
            return f"Default: {default}."
