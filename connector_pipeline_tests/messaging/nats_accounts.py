"""An operator, two accounts and a user of a nats-server, as JSON Web Tokens signed by their nkeys.

The tool `nsc` makes them for operators who run NATS with accounts.
https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import nkeys

_OF_AN_ACCOUNT = (
    *("subs", "data", "payload", "imports", "exports", "conn", "leaf"),
    *("mem_storage", "disk_storage", "streams", "consumer"),
)


def _key(prefix: int) -> Any:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(secrets.token_bytes(32), prefix)))


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _name(key: Any) -> str:
    return key.public_key.decode()


def _token(signer: Any, subject: Any, kind: str, claims: dict[str, Any]) -> str:
    body: dict[str, Any] = {
        "iat": 1_700_000_000,
        "iss": _name(signer),
        "sub": _name(subject),
        "name": kind,
        "nats": {"type": kind, "version": 2, **claims},
    }
    digest = hashlib.sha256(json.dumps(body).encode()).digest()
    body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    signed = ".".join(
        _url64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
    )
    return f"{signed}.{_url64(signer.sign(signed.encode()))}"


@dataclass(frozen=True)
class Accounts:
    """A server's accounts: its configuration, and credentials files of users."""

    operator: Any = field(default_factory=lambda: _key(nkeys.PREFIX_BYTE_OPERATOR))
    system: Any = field(default_factory=lambda: _key(nkeys.PREFIX_BYTE_ACCOUNT))
    account: Any = field(default_factory=lambda: _key(nkeys.PREFIX_BYTE_ACCOUNT))

    def config(self) -> str:
        """The configuration by which a nats-server lets in only these users."""
        limits = {"limits": {**dict.fromkeys(_OF_AN_ACCOUNT, -1), "wildcards": True}}
        system = _token(self.operator, self.system, "account", {})
        account = _token(self.operator, self.account, "account", limits)
        return (
            f'operator: "{_token(self.operator, self.operator, "operator", {})}"\n'
            f"system_account: {_name(self.system)}\n"
            "resolver: MEMORY\n"
            f'resolver_preload {{ {_name(self.system)}: "{system}"\n'
            f'{_name(self.account)}: "{account}" }}\n'
        )

    def credentials(self) -> str:
        """The credentials file of a new user."""
        user = _key(nkeys.PREFIX_BYTE_USER)
        token = _token(self.account, user, "user", {"subs": -1, "data": -1, "payload": -1})
        return (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )
