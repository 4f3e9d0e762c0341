"""Object stores under the raw archive: what they need, their bounds in time, remedies of errors.

A store's own errors may quote requests, so of them only the code or the class is shown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from fsspec.config import conf  # pyright: ignore[reportMissingTypeStubs]

from connector_pipeline.model.extra import Extra

_S3_BOUNDS: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "read_timeout": 30,
    "retries": {"mode": "standard", "total_max_attempts": 3},
    "max_pool_connections": 32,
}
"""botocore's own bounds are five attempts of a minute each, and s3fs makes five of these."""

_TRIES_OF_S3FS: Final = 1
"""botocore tries again already, and waits in between."""

_NO_BUCKET: Final = frozenset({"NoSuchBucket", "404", "FileNotFoundError", "ContainerNotFound"})
_NOT_BELIEVED: Final = frozenset(
    {
        "AuthenticationFailed", "ClientAuthenticationError", "CredentialRetrievalError",
        "DefaultCredentialsError", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
        "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "RefreshError",
        "SignatureDoesNotMatch", "TokenRefreshRequired", "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)  # fmt: skip
_NOT_ALLOWED: Final = frozenset(
    {"403", "AccessDenied", "AccountProblem", "AllAccessDisabled", "Forbidden", "PermissionError"}
)
_OUT_OF_REACH: Final = frozenset(
    {
        "ClientConnectorError", "ConnectTimeoutError", "ConnectionClosedError",
        "EndpointConnectionError", "FSTimeoutError", "HTTPClientError", "InvalidEndpoint",
        "ProxyConnectionError", "ReadTimeoutError", "ResponseParserError", "SSLError",
        "ServiceRequestError", "TimeoutError",
    }
)  # fmt: skip
_ELSEWHERE: Final = frozenset(
    {"301", "307", "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"}
)


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A kind of object store, for its messages.

    `credentials` and `endpoint` name what gives them; `rights` are those that the archive needs.
    """

    extra: Extra
    credentials: str
    rights: str
    endpoint: str

    @classmethod
    def of(cls, url: str) -> "ObjectStore | None":
        """The kind of store that an fsspec URL leads to; None if it is none that we know."""
        return _STORES.get(url.partition("://")[0].lower())

    @property
    def missing_extra(self) -> str:
        """What to do where the packages of the store are not installed."""
        return f"Run `pip install 'connector-pipeline[{self.extra.label}]'`."

    def options(self) -> dict[str, Any]:
        """The options of its file system: bounds in time, no listing kept, one request a file.

        Another process may have written since a listing. What the operator set for fsspec
        (FSSPEC_S3) goes before our bounds.
        """
        if self.extra is not Extra.S3:
            return {}
        given: dict[str, Any] = cast("Any", conf).get("s3", {}).get("config_kwargs", {})
        return {
            "use_listings_cache": False,
            # With more, s3fs asks for the size of each file before it reads it.
            "max_concurrency": 1,
            "config_kwargs": {**_S3_BOUNDS, **given},
        }

    def bound(self, file_system: Any) -> None:
        """Bound what is no option of the file system."""
        if self.extra is Extra.S3:
            file_system.retries = _TRIES_OF_S3FS

    def remedy(self, reason: str) -> str | None:
        """What to do about a reason of `reason_of`, None if only the store's own code says it."""
        then = "the next sync tries again."
        if reason in _NO_BUCKET:
            return (
                "Make the bucket, which the connector never does, or correct RAW_ARCHIVE_URL; "
                f"{then}"
            )
        if reason in _NOT_BELIEVED:
            return f"Give the processes valid credentials ({self.credentials}); {then}"
        if reason in _NOT_ALLOWED:
            return f"Allow the credentials in use {self.rights}; {then}"
        if reason in _OUT_OF_REACH:
            return f"Check {self.endpoint} and the way there; {then}"
        if reason in _ELSEWHERE:
            return f"The bucket is in another region: set AWS_REGION; {then}"
        return None


def reason_of(error: BaseException) -> str:
    """The code that the store answered, else the class of the error."""
    for each in _causes(error):
        answer: Any = getattr(each, "response", None)
        if isinstance(answer, dict):
            code = str(cast("dict[str, Any]", answer).get("Error", {}).get("Code", ""))
            if re.fullmatch(r"[A-Za-z0-9.]{1,60}", code):
                return code
    return type(error).__name__


def lacks_bucket(error: BaseException) -> bool:
    """Whether nothing was found because there is no bucket."""
    return reason_of(error) == "NoSuchBucket"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


_STORES: Final = {
    **dict.fromkeys(
        ("s3", "s3a"),
        ObjectStore(
            Extra.S3,
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role",
            "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject",
            "AWS_ENDPOINT_URL_S3 (AWS_REGION for Amazon's own)",
        ),
    ),
    **dict.fromkeys(
        ("gs", "gcs"),
        ObjectStore(
            Extra.GCS,
            "GOOGLE_APPLICATION_CREDENTIALS, or the service account of the machine",
            "the role Storage Object User",
            "RAW_ARCHIVE_URL",
        ),
    ),
    **dict.fromkeys(
        ("abfs", "abfss", "az"),
        ObjectStore(
            Extra.AZURE,
            "AZURE_STORAGE_ACCOUNT_NAME and a key, or a managed identity",
            "the role Storage Blob Data Contributor",
            "RAW_ARCHIVE_URL and AZURE_STORAGE_ACCOUNT_NAME",
        ),
    ),
}
