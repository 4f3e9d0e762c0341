"""Errors say what an operator needs, and never quote a request."""

from connector_pipeline.model.errors import Defect


def test_a_defect_names_the_place_and_never_quotes_the_exception() -> None:
    """An unforeseen exception may quote a request, and with it a credential."""
    try:
        raise RuntimeError("shpat_secret")
    except RuntimeError as error:
        defect = Defect.from_exception(error)
    assert "shpat_secret" not in str(defect)
    assert "RuntimeError at test_errors.py:" in str(defect)
