"""Remarks are counted by what they say, and their list is bounded."""

from connector_pipeline.platforms.kit.remarks import Remarks


def test_a_remark_is_a_sentence_with_its_number_and_its_first_object() -> None:
    """A shop of a million odd values gives one line."""
    remarks = Remarks()
    assert remarks.warnings() == []
    for number in range(3):
        remarks.add("A quantity was rounded", f"product {number}")
    assert remarks.warnings() == ["A quantity was rounded (3x, first: product 0)."]


def test_only_so_many_different_remarks_are_listed() -> None:
    """The rest is counted: what they quote is a stranger's."""
    remarks = Remarks()
    for number in range(100):
        remarks.add(f"Word {number}", "product 1")
    assert len(remarks.warnings()) == 11
    assert remarks.warnings()[-1] == "90 more remarks of other kinds."
