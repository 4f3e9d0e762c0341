"""A nats-server that asks for credentials gets those of the settings."""

from pathlib import Path

import pytest
import trustme

from connector_pipeline.messaging.jetstream import NatsUnavailable
from connector_pipeline.messaging.requests import RequestStream
from connector_pipeline.settings import Settings, load_settings
from connector_pipeline_tests.messaging.nats_accounts import Accounts
from connector_pipeline_tests.messaging.nats_server import NatsServer

SECRET = "not-to-be-seen-1234"
BY_PASSWORD = f'authorization {{ user: "connector", password: "{SECRET}" }}\n'
BY_TOKEN = f'authorization {{ token: "{SECRET}" }}\n'


def settings_with(url: str, **given: str) -> Settings:
    return load_settings(nats_url=url, **given)


@pytest.mark.parametrize(
    ("config", "right"),
    [
        (BY_PASSWORD, {"nats_user": "connector", "nats_password": SECRET}),
        (BY_TOKEN, {"nats_token": SECRET}),
    ],
    ids=["user and password", "token"],
)
def test_only_the_right_credentials_are_let_in(
    tmp_path: Path, config: str, right: dict[str, str]
) -> None:
    """The error of a refusal does not have them."""
    with NatsServer(tmp_path / "nats", config=config) as server:
        assert not RequestStream(settings_with(server.url, **right))(None).requests
        wrong = {name: f"{value}x" for name, value in right.items()}
        for refused in ({}, wrong):
            with pytest.raises(NatsUnavailable) as raised:
                RequestStream(settings_with(server.url, **refused))(None)
            assert "authorization violation" in str(raised.value).lower()
            assert SECRET not in str(raised.value)


def test_a_credentials_file_lets_in(tmp_path: Path) -> None:
    """A file of the server's own user works.

    Another server's is refused, and a broken one reported.
    """
    ours, others = Accounts(), Accounts()
    given = ours.credentials()
    broken = (
        "no credentials\n",
        given[: given.index("-----BEGIN USER")],
        given[given.index("-----BEGIN USER") :],
        given.replace("\nSU", "\nSX"),
        "",
    )
    file = tmp_path / "user.creds"
    file.write_text(given)
    with NatsServer(tmp_path / "nats", config=ours.config()) as server:
        settings = settings_with(server.url, nats_credentials_file=str(file))
        assert not RequestStream(settings)(None).requests
        for text, what in (
            (others.credentials(), "authorization violation"),
            *((text, "holds no user's token and seed") for text in broken),
        ):
            file.write_text(text)
            with pytest.raises(NatsUnavailable) as raised:
                RequestStream(settings)(None)
            assert what in str(raised.value).lower()
            assert "SU" not in str(raised.value)


def test_a_server_that_asks_for_certificates_gets_ours(
    tmp_path: Path, authority: trustme.CA
) -> None:
    """Only NATS_TLS_CA_FILE makes the server trusted, which also asks for a client certificate."""
    ca, client_cert, client_key = (tmp_path / name for name in ("ca.pem", "us.pem", "us.key"))
    authority.cert_pem.write_to_path(str(ca))
    issued = authority.issue_cert("connector@platform.example")
    issued.cert_chain_pems[0].write_to_path(str(client_cert))
    issued.private_key_pem.write_to_path(str(client_key))
    server_cert = authority.issue_cert("127.0.0.1")
    server_cert.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    server_cert.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    tls = (
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key",'
        f' ca_file: "{ca}", verify: true }}\n'
    )
    trusted = {"nats_tls_ca_file": str(ca)}
    known = {"nats_tls_cert_file": str(client_cert), "nats_tls_key_file": str(client_key)}
    with NatsServer(tmp_path / "nats", config=tls, scheme="tls") as server:
        assert not RequestStream(settings_with(server.url, **trusted, **known))(None).requests
        for refused, what in (
            ({}, "certificate verify failed"),
            (known, "certificate verify failed"),
            (trusted, "NATS at tls:"),
        ):
            with pytest.raises(NatsUnavailable, match=what):
                RequestStream(settings_with(server.url, **refused))(None)
