"""The pages of trouble that WordPress answers with in a shop's place."""

from typing import Final

from connector_pipeline.platforms.http.challenge import PageMark, TroublePages

_NAME: Final = "WordPress's maintenance page"
_REMEDY: Final = (
    "It will be retried with the next sync. WordPress shows the page while it or a plugin is "
    "updated, which takes seconds. If it stays, an update broke off: ask the merchant to delete "
    "the file .maintenance in WordPress's folder."
)
# WordPress always states these 600 s. Its text is in the shop's language, and its form is a page or
# JSON by what the request accepts. The page of older versions has no mark but its one heading.
_ALWAYS: Final = "retry-after: 600"

TROUBLE_PAGES: Final = TroublePages(
    own=(
        PageMark(b"briefly unavailable for scheduled maintenance", _NAME, _REMEDY, soon_over=True),
        *(
            PageMark(mark, _NAME, _REMEDY, header=_ALWAYS, soon_over=True, status=503)
            for mark in (b'"wp_die"', b"wp-die-message", b"<h1>")
        ),
    ),
    read_below="/wp-json/",
)
"""docs/facts/woocommerce.md, Answers by others."""
