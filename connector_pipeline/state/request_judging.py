"""Judge a sync request on its own, before anything of it is written.

A requester may write anything into `connector.sync_requests`, and a statement over many requests
fails as a whole. So a request that could make it fail is found here, and what of it goes into other
tables is made storable.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from connector_pipeline.model.errors import InvalidSyncRequest
from connector_pipeline.model.shop import LONGEST_TEXT, Shop
from connector_pipeline.model.storable import clipped
from connector_pipeline.model.sync_request import SyncRequest
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.platforms.adapters import valid_domain

_AT_THE_DATABASE: Final = (
    "Not retried. This is a defect of connector-pipeline, which should have refused the request "
    "before: report it. Correct the request and send it under another sync_id."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a sound request asks for."""

    shop: Shop
    sync_type: RequestedSyncType


@dataclass(frozen=True, slots=True)
class JudgedRequest:
    """A request and the verdict on it: what it asks for, or the error that refuses it.

    The texts are as `connector.syncs` and an event can hold them. Those of a sound request are the
    requester's; those of a refused one may be clipped, with escapes.
    """

    sync_id: str
    correlation_id: str
    merchant_id: str
    platform_name: str
    domain: str
    requested_at: datetime
    verdict: Wanted | InvalidSyncRequest

    def unstorable(self, error: Exception) -> Self:
        """The same request, refused because the database refused it with this error."""
        return replace(
            self,
            verdict=InvalidSyncRequest(
                f"the database does not take it ({type(error).__name__}).", remedy=_AT_THE_DATABASE
            ),
        )


def judged(request: SyncRequest, requested_at: datetime) -> JudgedRequest:
    """Judge the request, whatever its texts are; but its `sync_id` is a valid one."""
    return JudgedRequest(
        sync_id=request.sync_id,
        correlation_id=request.usable_correlation_id,
        merchant_id=clipped(request.merchant_id, most_bytes=LONGEST_TEXT),
        platform_name=clipped(request.platform_name, most_bytes=LONGEST_TEXT),
        domain=clipped(request.domain, most_bytes=LONGEST_TEXT),
        requested_at=requested_at,
        verdict=_verdict(request),
    )


def _verdict(request: SyncRequest) -> Wanted | InvalidSyncRequest:
    try:
        return Wanted(request.shop(valid_domain), request.requested_type())
    except InvalidSyncRequest as error:
        return error
    except Exception as error:
        # An installed adapter judges the domain, and may have a defect.
        return InvalidSyncRequest(
            f"its domain could not be judged ({type(error).__name__}).",
            remedy="Not retried. If the platform's adapter came with another package, report it "
            "there. Then ask again under another sync_id.",
        )
