"""The remedy of an error that is known by its code alone, as tables keep it."""

from collections.abc import Iterator

from connector_pipeline.model.errors import ConnectorError


def remedy_of(code: str) -> str:
    """The default advice of the error of this code; that of an unknown code is general."""
    named = (each for each in _errors(ConnectorError) if each.__name__ == code)
    return next(named, ConnectorError).default_remedy


def _errors(error: type[ConnectorError]) -> Iterator[type[ConnectorError]]:
    yield error
    for kind in error.__subclasses__():
        yield from _errors(kind)
