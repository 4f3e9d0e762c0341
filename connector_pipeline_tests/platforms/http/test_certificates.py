"""Promises about refused certificates, kept against real TLS servers with each kind of them."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.download import FileDownload
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport

pytestmark = pytest.mark.usefixtures("shop_names")
POLICY = HttpPolicy(allow_private_hosts=True, max_retries=0)
Pems = list[bytes]
"""The private key and the certificates that the server sends."""


@asynccontextmanager
async def tls_server(pems: Pems, folder: Path) -> AsyncIterator[int]:
    """The port of a server that sends these certificates."""
    file = folder / "server.pem"
    file.write_bytes(b"".join(pems))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def pems_of(certificate: trustme.LeafCert, most: int = 9) -> Pems:
    """The key of a certificate, and at most so many certificates of its chain."""
    chain = [pem.bytes() for pem in certificate.cert_chain_pems]
    return [certificate.private_key_pem.bytes(), *chain[:most]]


def whole_chain(authority: trustme.CA) -> Pems:
    """A certificate of an intermediate authority, which is sent too."""
    return pems_of(authority.create_child_ca().issue_cert("shop.example"))


def without_intermediate(authority: trustme.CA) -> Pems:
    """The same without the intermediate: the case from the field."""
    return whole_chain(authority)[:2]


def without_one_of_two(authority: trustme.CA) -> Pems:
    """A chain of two intermediates, of which the upper one is not sent."""
    issuer = authority.create_child_ca().create_child_ca()
    return pems_of(issuer.issue_cert("shop.example"), 2)


def expired(authority: trustme.CA) -> Pems:
    """A certificate of last year."""
    end = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return pems_of(authority.issue_cert("shop.example", not_after=end))


def not_valid_yet(authority: trustme.CA) -> Pems:
    """A certificate of tomorrow."""
    now = datetime.datetime.now(datetime.UTC)
    first, last = now + datetime.timedelta(days=1), now + datetime.timedelta(days=9)
    return pems_of(authority.issue_cert("shop.example", not_before=first, not_after=last))


def of_another_name(authority: trustme.CA) -> Pems:
    """The hosting company's own certificate."""
    return pems_of(authority.issue_cert("host.example"))


def self_signed(_: trustme.CA) -> Pems:
    """A certificate without an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example")]), False)
        .sign(key, hashes.SHA256())
    )
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    key_pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
    return [key_pem, certificate.public_bytes(encoding)]


def of_an_unknown_authority(_: trustme.CA) -> Pems:
    """A whole chain up to a root that nobody knows, as of a proxy that inspects TLS."""
    unknown = trustme.CA()
    return [*pems_of(unknown.issue_cert("shop.example")), unknown.cert_pem.bytes()]


INCOMPLETE = "https://shop.example:{port} does not send its intermediate certificate"
KINDS: list[tuple[Callable[[trustme.CA], Pems], str, str]] = [
    (without_intermediate, INCOMPLETE, "fullchain.pem"),
    (without_one_of_two, INCOMPLETE, "fullchain.pem"),
    (expired, "https://shop.example:{port} has a certificate that has expired", "renew"),
    (not_valid_yet, "a certificate that is not valid yet", "dates"),
    (of_another_name, "not valid for it, but for other names", "with this name"),
    (self_signed, "a certificate that it signed itself", "public authority"),
    (of_an_unknown_authority, "of an issuer that nobody knows", "SSL_CERT_FILE"),
]


@pytest.mark.parametrize(("made", "words", "remedy"), KINDS, ids=[k[0].__name__ for k in KINDS])
async def test_a_refused_certificate_is_named_by_its_fault(
    authority: trustme.CA,
    tmp_path: Path,
    made: Callable[[trustme.CA], Pems],
    words: str,
    remedy: str,
) -> None:
    """The remedy is the one that helps: only an expired certificate is to be renewed."""
    async with tls_server(made(authority), tmp_path) as port:
        url = f"https://shop.example:{port}"
        async with OriginHttp(url, policy=POLICY, report=FetchReport()) as http:
            with pytest.raises(PlatformUnavailable) as caught:
                await http.request("GET", "/products", headers={"Authorization": "Basic secret"})
    assert words.format(port=port) in caught.value.message
    assert remedy in caught.value.remedy
    assert ("renew the" in caught.value.remedy) == (made is expired)
    assert "Credentials are sent only to a host with a valid certificate" in caught.value.remedy
    assert http.reached


async def test_a_whole_chain_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    """The faults above are the only difference."""
    async with tls_server(whole_chain(authority), tmp_path) as port:
        url = f"https://shop.example:{port}"
        async with OriginHttp(url, policy=POLICY, report=FetchReport()) as http:
            assert (await http.request("GET", "/products")).json == []


async def test_a_file_hosts_certificate_is_named_too(authority: trustme.CA, tmp_path: Path) -> None:
    """A download says the same."""
    async with tls_server(without_intermediate(authority), tmp_path) as port:
        url = f"https://127.0.0.1:{port}/file?signature=s3cr3t"
        async with FileDownload(url, hosts=(), policy=POLICY, report=FetchReport()) as file:
            with pytest.raises(PlatformUnavailable, match="intermediate certificate") as caught:
                [part async for part in file.parts()]
    assert "s3cr3t" not in str(caught.value)
