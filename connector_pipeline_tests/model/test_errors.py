"""Errors say what an operator needs, and never what a request held."""

from connector_pipeline.model.errors import Defect


def test_a_defect_tells_where_and_not_what() -> None:
    """An unforeseen exception may quote a request, and with it a credential."""
    try:
        raise RuntimeError("shpat_secret")
    except RuntimeError as error:
        defect = Defect.from_exception(error)
    assert "shpat_secret" not in str(defect)
    assert "RuntimeError at test_errors.py:" in str(defect)
