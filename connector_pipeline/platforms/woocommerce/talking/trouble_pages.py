"""The pages of trouble that WordPress answers with in a shop's place."""

from typing import Final

from connector_pipeline.platforms.http.challenge import PageMark, TroublePages

TROUBLE_PAGES: Final = TroublePages(
    own=(
        PageMark(
            b"briefly unavailable for scheduled maintenance",
            "WordPress's maintenance page",
            "It will be retried with the next sync; the shop says that it is over soon.",
        ),
    ),
    read_below="/wp-json/",
)
"""docs/facts/woocommerce.md, Answers by others."""
