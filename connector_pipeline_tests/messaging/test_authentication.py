"""A nats-server that wants to know who comes gets what the settings say, and keeps out others."""

from pathlib import Path

import pytest

from connector_pipeline.messaging.jetstream import NatsUnavailable
from connector_pipeline.messaging.requests import RequestStream
from connector_pipeline.settings import Settings, load_settings
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
    """And a refusal says so without them."""
    with NatsServer(tmp_path / "nats", config=config) as server:
        assert not RequestStream(settings_with(server.url, **right))(None).requests
        wrong = {name: f"{value}x" for name, value in right.items()}
        for refused in ({}, wrong):
            with pytest.raises(NatsUnavailable) as raised:
                RequestStream(settings_with(server.url, **refused))(None)
            assert "authorization violation" in str(raised.value).lower()
            assert SECRET not in str(raised.value)
