"""Text of strangers is made storable."""

from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.storable import checked, clipped

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@given(ANY_TEXT, st.integers(10, 300))
@example("\ud800" * 300, 255)
@example("é" * 300, 255)
def test_a_clipped_text_shows_and_fits(text: str, most_bytes: int) -> None:
    """No character is left that does not show, and no more bytes than allowed."""
    found = clipped(text, most_bytes=most_bytes)
    assert found.isprintable()
    assert checked(found) == found
    assert len(found.encode()) <= most_bytes


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60))
def test_a_text_that_shows_and_fits_stays(text: str) -> None:
    """A character takes four bytes at most."""
    assert clipped(text, most_bytes=240) == text


def test_a_cut_and_an_escape_are_seen() -> None:
    """An operator who reads the text sees that it was another one."""
    assert clipped("abcdefghijkl", most_bytes=8) == "abcde…"
    assert clipped("a\x1b[2Jb\u202ec", most_bytes=80) == "a\\x1b[2Jb\\u202ec"
