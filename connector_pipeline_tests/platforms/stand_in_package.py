"""Makes an installed package that brings an adapter, in a folder."""

from pathlib import Path
from textwrap import dedent

ADAPTER = dedent(
    '''
    """The smallest adapter there is: its shops have one product, whose variant is the domain."""

    from pydantic import SecretStr

    from connector_pipeline.model.errors import InvalidShop
    from connector_pipeline.platforms.kit.contract import Adapter, Credentials, RawPage


    class StandInCredentials(Credentials):
        """A password."""

        password: SecretStr


    class StandInAdapter(Adapter):
        """Reads nothing."""

        platform_name = "stand_in"
        credentials_model = StandInCredentials
        example_domain = "acme.stand-in.example"

        @classmethod
        def from_settings(cls, settings):
            return cls()

        @staticmethod
        def valid_domain(domain):
            if not domain.endswith(".stand-in.example"):
                raise InvalidShop(f"{domain!r} is not a stand-in shop's domain")
            return domain

        async def fetch(self, shop, credential_source, *, since, report, archived=()):
            report.currency, report.complete = "SEK", True
            yield RawPage("products", b"[]")

        async def look_up(self, shop, credential_source, *, absent, witness, report):
            return
            yield

        def normalize(self, shop, currency, pages):
            return iter(())
    '''
)


def install(
    folder: Path,
    *,
    name: str = "stand_in",
    distribution: str = "stand-in-connector",
    module: str = "stand_in_connector",
    attribute: str = "StandInAdapter",
    source: str = ADAPTER,
) -> Path:
    """Make a folder for sys.path that holds a distribution with one entry point of our group."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    about = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(
        f"[connector_pipeline.platforms]\n{name} = {module}:{attribute}\n"
    )
    return folder
