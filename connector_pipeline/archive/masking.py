"""Takes a shop's credentials out of its pages before they are archived, if a page quotes them.

Platforms repeat requests in their answers, and the archive outlives every credential's use.
"""

from collections.abc import Iterable

from connector_pipeline.model.redaction import PART, Secrets, forms_of


class Mask:
    """Masks secrets in the bodies of pages. A body without them costs a few searches for bytes.

    What is searched for are the beginning, the middle and the end of each secret: a secret that is
    cut off at one end has one of them. Where one is found, every part of a secret is masked.
    """

    def __init__(self, secrets: Iterable[str]):
        self._given = [secret for secret in secrets if len(secret) >= PART]
        self._pieces = {
            form[start : start + PART].encode()
            for form in forms_of(self._given)
            for start in (0, (len(form) - PART) // 2, len(form) - PART)
        }

    def masked(self, body: bytes) -> bytes:
        """The body with an asterisk for each byte of a secret: JSON still, and as long."""
        if not any(piece in body for piece in self._pieces):
            return body
        # Hardly any page quotes them, so they are taken apart only now.
        secrets = Secrets()
        secrets.keep(self._given)
        return secrets.masked(body.decode("latin-1")).encode("latin-1")
