"""Promises of decoding: gzip alone, split anywhere, in small pieces, no further than needed."""

import gzip
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.platforms.http.content_coding import (
    MOST_MEMBERS,
    PIECE,
    Gunzip,
    SpoiledGzip,
    UnaskedCoding,
    is_gzip,
)


def decoded(parts: list[bytes]) -> bytes:
    """All that the parts of a stream become."""
    stream = Gunzip()
    pieces = [piece for part in parts for piece in stream.feed(part)]
    stream.end()
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    return b"".join(pieces)


def split(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream cut at these places."""
    ends = sorted({place % (len(stream) + 1) for place in places})
    return [stream[a:b] for a, b in zip([0, *ends], [*ends, len(stream)], strict=True)]


bodies = st.binary(max_size=400) | st.builds(
    lambda one, times: one * times, st.binary(min_size=1, max_size=3), st.integers(0, 200_000)
)


@given(st.lists(bodies, min_size=1, max_size=3), st.lists(st.integers(0), max_size=6), st.binary())
@example([b"a" * (2 * PIECE)], [], b"")
@example([b"a" * PIECE, b"", b"b"], [1, 2, 3], b"\0\0\x1f")
def test_any_split_of_a_stream_gives_the_same_bytes(
    members: list[bytes], places: list[int], after: bytes
) -> None:
    """Members are joined, as gzip does; what follows them and is none of them is left out."""
    if after.lstrip(b"\0").startswith(b"\x1f\x8b"):
        after = b"no " + after
    stream = b"".join(gzip.compress(member) for member in members) + after
    assert decoded(split(stream, places)) == b"".join(members)


@given(st.binary() | st.binary().map(lambda body: b"\x1f\x8b\x08" + body), st.lists(st.integers(0)))
def test_any_bytes_end_in_bytes_or_in_one_error(stream: bytes, places: list[int]) -> None:
    """Nothing that a server sends raises another error."""
    try:
        decoded(split(stream, places))
    except SpoiledGzip:
        return


@given(bodies.filter(bool), st.integers(1))
def test_half_a_stream_is_no_whole_one(body: bytes, cut: int) -> None:
    """It may be cut off anywhere, in the trailer too."""
    stream = gzip.compress(body)
    with pytest.raises(SpoiledGzip):
        decoded([stream[: 1 + cut % (len(stream) - 1)]])


def test_a_flipped_bit_is_noticed() -> None:
    """The trailer has a checksum."""
    stream = bytearray(gzip.compress(b"[1, 2, 3]" * 100))
    stream[-6] ^= 1
    with pytest.raises(SpoiledGzip):
        decoded([bytes(stream)])


@pytest.mark.parametrize("member", [b"", b"a"])
def test_members_without_end_are_refused(member: bytes) -> None:
    """An empty member is 20 bytes of nothing; a server could send them for ever."""
    stream = gzip.compress(member)
    assert decoded([stream * MOST_MEMBERS]) == member * MOST_MEMBERS
    with pytest.raises(SpoiledGzip, match="members"):
        decoded([stream] * (MOST_MEMBERS + 1))


def test_a_bomb_is_decoded_no_further_than_it_is_read() -> None:
    """One part of 100 kB is 100 MB, and the first piece of it is had for the work of one piece."""
    stream = Gunzip()
    pieces = stream.feed(gzip.compress(b"\0" * 100 * 1024 * 1024))
    assert len(next(pieces)) == PIECE


def test_nothing_at_all_is_an_empty_body() -> None:
    """Some servers announce gzip where they have nothing to say."""
    assert decoded([]) == b""


@pytest.mark.parametrize(
    "stated", [None, "", "identity", "gzip, identity", "GZIP", "x-gzip", "utf-8", "none", "gzip,"]
)
def test_gzip_and_nothing_are_read(stated: str | None) -> None:
    """`x-gzip` is gzip. A word that is no coding, e.g. `utf-8`, says nothing."""
    expected = stated is not None and "gzip" in stated.lower()
    assert is_gzip({} if stated is None else {"Content-Encoding": stated}) is expected


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("zstd, zstd", "compressed 2 times"),
        ("gzip, gzip", "compressed 2 times"),
        ("br,identity,gzip", "compressed 2 times"),
        ("br", "compressed by 'br'"),
        ("Deflate", "compressed by 'deflate'"),
        ("zstd", "compressed by 'zstd'"),
        ("compress", "compressed by 'compress'"),
    ],
)
def test_other_codings_are_refused(stated: str, words: str) -> None:
    """Nobody asked for them, and each has bombs of its own."""
    with pytest.raises(UnaskedCoding, match=words):
        is_gzip({"Content-Encoding": stated})


def test_zlib_is_no_gzip() -> None:
    """A server that says gzip and sends deflate is not understood by guessing."""
    with pytest.raises(SpoiledGzip, match="not the gzip"):
        decoded([zlib.compress(b"[1]")])
