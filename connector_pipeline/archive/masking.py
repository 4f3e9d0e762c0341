"""Takes a shop's credentials out of its pages before they are archived, if a page quotes them.

Platforms repeat requests in their answers, and the archive outlives every credential's use.
"""

from collections.abc import Iterable

from connector_pipeline.model.redaction import PART, Secrets


class Mask:
    """Masks secrets in the bodies of pages. A body without them costs a few searches for bytes.

    What is searched for are the beginning, the middle and the end of each secret: a secret that is
    cut off at one end has one of them. Where one is found, every part of a secret is masked.
    """

    def __init__(self, secrets: Iterable[str]):
        given = [secret for secret in secrets if len(secret) >= PART]
        self._secrets = Secrets()
        self._secrets.keep(given)
        self._pieces = {
            form[start : start + PART].encode()
            for form in self._secrets.forms()
            for start in (0, (len(form) - PART) // 2, len(form) - PART)
        }

    def masked(self, body: bytes) -> bytes:
        """The body with an asterisk for each byte of a secret: JSON still, and as long."""
        if not any(piece in body for piece in self._pieces):
            return body
        return self._secrets.masked(body.decode("latin-1")).encode("latin-1")
