"""The words for a certificate that is refused, by the reason for which it is."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason in words that fit after the host's name, and what the merchant can do."""

    reason: str
    ask: str


_RENEW: Final = "Ask the merchant to renew the certificate."
_INCOMPLETE: Final = Refused(
    "does not send its intermediate certificate, so the certificate's issuer is not known",
    "Browsers fetch the missing one, and programs do not: renewing does not help. Ask the merchant "
    "to install the whole chain (fullchain.pem). If it is there, the issuer is none that we trust.",
)
_SELF_SIGNED: Final = Refused(
    "has a certificate that it signed itself, or of an issuer that nobody knows",
    "Ask the merchant for a certificate of a public authority. A proxy that inspects TLS on our "
    "side does the same: then add its authority by SSL_CERT_FILE.",
)

# OpenSSL's X509_V_ERR_… (https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/).
_BY_CODE: Final = {
    2: _INCOMPLETE,
    9: Refused("has a certificate that is not valid yet", "Ask the merchant to check its dates."),
    10: Refused("has a certificate that has expired", _RENEW),
    18: _SELF_SIGNED,
    19: _SELF_SIGNED,
    20: _INCOMPLETE,
    21: _INCOMPLETE,
    62: Refused(
        "has a certificate that is not valid for it, but for other names",
        "Ask the merchant for a certificate with this name.",
    ),
    64: Refused(
        "has a certificate that is not valid for it, but for other addresses",
        "Register the shop by the name in its certificate.",
    ),
}


def refused_certificate(error: BaseException) -> Refused | None:
    """Why a connection failed, if it failed at the host's certificate; else None."""
    for each in causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return _BY_CODE.get(
                each.verify_code,
                Refused(
                    f"has a certificate that is not valid ({each.verify_message:.100})", _RENEW
                ),
            )
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
