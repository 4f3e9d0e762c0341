"""Text of strangers is made storable, and fit to be shown."""

import itertools
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.model.storable import checked, clipped, clipped_lines, printable, shows

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
"""Three emoji that are shown as one."""
PICTURES = ("So", "Sm", "Sk")
"""Categories of emoji, of a few arrows, and of the colours of skin."""
WITHOUT_SHAPE = "\u034f\u115f\u1160\u2800\u3164\uffa0\ufe00\U000e0100"


def without_joiners(text: str) -> str:
    """The text without each joiner that has a picture on its left and one on its right."""
    parts = text.split("\u200d")
    for left, right in itertools.pairwise(parts):
        drawn = left.removesuffix("\ufe0f")[-1:], right[:1]
        assert [unicodedata.category(each) for each in drawn if each] in (
            [one, other] for one in PICTURES for other in PICTURES
        )
    return "".join(parts)


@given(ANY_TEXT, st.integers(0, 300))
@example("\ud800" * 300, 255)
@example("é" * 300, 255)
@example("\u3164\u202e\x9b", 40)
@example("abc", 0)
@example(FAMILY, 10)
@example("\u200d\U0001f469\u200d\U0001fae9\u200da", 300)
def test_a_clipped_text_shows_and_fits(text: str, most_bytes: int) -> None:
    """No character is left that does not show, and no more bytes than allowed."""
    found = clipped(text, most_bytes=most_bytes)
    shown = without_joiners(found)
    assert shown.isprintable()
    assert not any(unicodedata.category(each) in ("Cf", "Cc", "Cs") for each in shown)
    assert not set(found) & set(WITHOUT_SHAPE)
    assert checked(found) == found
    assert len(found.encode()) <= most_bytes


@given(ANY_TEXT)
@example("a\r\nb\x0b\x0c\x85\u2028c")
def test_lines_stay_lines_and_the_rest_shows(text: str) -> None:
    """Nothing else breaks a line: a forged line of a log would look like ours."""
    found = clipped_lines(text, most_bytes=5_000)
    assert all(each.isprintable() or each in "\n\t" for each in without_joiners(found))
    assert found.count("\n") == text.count("\n") or found.endswith("…")
    assert printable(found) == found


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60))
def test_a_text_that_shows_and_fits_stays(text: str) -> None:
    """A character takes four bytes at most."""
    if not set(text) & set("=:" + WITHOUT_SHAPE) and printable(text) == text:
        assert clipped(text, most_bytes=240) == text


def test_a_text_shows_if_each_of_its_characters_does() -> None:
    """Fillers, joiners, selectors and spaces of other widths do not; letters of any script do."""
    for each in (*WITHOUT_SHAPE, *"\ufe0e\ufe0f\u200b\u200d\xa0\u3000\u202e\x00\n\x7f\ud800"):
        assert not shows(f"id{each}1"), ascii(each)
    for text in (
        "id-1",
        "Müller & söner",
        "\u5546\u5e97",
        "\u0645\u062a\u062c\u0631",
        "\U0001f6cd",
    ):
        assert shows(text), text


def test_a_cut_and_an_escape_are_seen() -> None:
    """An operator who reads the text sees that it was another one."""
    assert clipped("abcdefghijkl", most_bytes=8) == "abcde…"
    assert clipped("a\x1b[2Jb\u202ec", most_bytes=80) == "a\\x1b[2Jb\\u202ec"
    assert clipped("a\nb\tc", most_bytes=80) == "a\\nb\\tc"


@pytest.mark.parametrize(
    "text",
    [
        "❤\ufe0f Té\u00a0chaud", "日本語", "ไทย", "é\u0301",
        FAMILY, "❤\ufe0f\u200d\U0001f525", "\U0001f469\U0001f3fd\u200d⚕\ufe0f",
    ],
)  # fmt: skip
def test_writing_of_all_kinds_shows_as_it_is(text: str) -> None:
    """A space of any kind is a space."""
    assert clipped(text, most_bytes=80) == text.replace("\u00a0", " ")


def test_a_joiner_beside_anything_but_emoji_is_seen() -> None:
    """Two titles that differ by it alone would look the same."""
    assert clipped("pay\u200dpal", most_bytes=80) == "pay\\u200dpal"
    assert clipped("\U0001f469\u200d…a", most_bytes=80) == "\U0001f469\\u200d…a"
    assert clipped(f"{FAMILY}\u202e", most_bytes=80) == f"{FAMILY}\\u202e"


@pytest.mark.parametrize("room", range(285, 325))
def test_a_secret_is_replaced_before_the_text_is_cut(room: int) -> None:
    """Cut first, half of a token at the end would stay readable."""
    token = "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"
    with SECRETS.holding():
        SECRETS.keep([token], while_held=True)
        found = clipped("x" * 280 + token + "y" * 10_000, most_bytes=room)
    assert "shpat" not in found


def test_a_secret_at_the_end_of_what_is_looked_at_is_replaced() -> None:
    """Of a huge text only the beginning is looked at, which may end in the middle of a token."""
    token = "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"
    with SECRETS.holding():
        SECRETS.keep([token], while_held=True)
        for shift in range(60):
            found = clipped(token * 45 + " " * shift + token * 1_000, most_bytes=300)
            assert "hpat" not in found
