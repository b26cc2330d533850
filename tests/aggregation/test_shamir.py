"""Secret sharing over GF(2^16): the law, the twin, what too few shares say, bad input."""

import collections
import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.aggregation.shamir import combine, split
from reference import shamir as twin

POINTS = st.lists(st.integers(1, 65535), min_size=1, max_size=12, unique=True)


@given(secret=st.binary(max_size=40).map(lambda s: s * 2), points=POINTS, data=st.data())
def test_any_threshold_shares_give_the_secret_back(
    secret: bytes, points: list[int], data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, len(points)))
    shares = dict(zip(points, split(secret, points, threshold), strict=True))
    chosen = data.draw(st.permutations(points))[:threshold]
    assert combine([chosen], [[shares[x] for x in chosen]]) == [secret]


@given(secret=st.binary(min_size=4, max_size=4), points=POINTS, data=st.data())
def test_shares_and_secrets_equal_those_of_the_twin(
    secret: bytes, points: list[int], data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, len(points)))
    coins = data.draw(st.binary(min_size=(threshold - 1) * 4, max_size=(threshold - 1) * 4))
    shares = split(secret, points, threshold, random=lambda size: coins[:size])
    assert shares == twin.split(secret, points, threshold, coins)
    chosen, arbitrary = (
        points[:threshold],
        data.draw(st.binary(min_size=4 * threshold, max_size=4 * threshold)),
    )
    values = [arbitrary[4 * i : 4 * i + 4] for i in range(threshold)]
    assert combine([chosen], [values]) == [twin.combine(chosen, values)]


def test_the_field_is_a_field() -> None:
    """x^16 + x^12 + x^3 + x + 1 is primitive: 2 has the order 65535 = 3 * 5 * 17 * 257."""

    def squared(count: int) -> int:
        result, base = 1, 2
        while count:
            result = twin.multiply(result, base) if count & 1 else result
            base, count = twin.multiply(base, base), count >> 1
        return result

    assert squared(65535) == 1
    assert all(squared(65535 // p) != 1 for p in (3, 5, 17, 257))
    assert all(twin.multiply(a, twin.inverse(a)) == 1 for a in (1, 2, 3, 0x100B, 65535))


def test_fewer_shares_are_uniform_whatever_the_secret() -> None:
    """Two of three shares are needed: one is uniform. Chi-square over the low nibble of 16 lanes."""
    for secret in (bytes(32), b"\xff" * 32, bytes(range(32))):
        counts = collections.Counter(
            byte & 15 for _ in range(250) for byte in split(secret, [5, 9, 60000], 2)[1]
        )
        total = sum(counts.values())
        chi_square = sum((counts[v] - total / 16) ** 2 / (total / 16) for v in range(16))
        assert chi_square < 75  # 15 degrees of freedom: 6e-10
        assert total == 8000


def test_one_share_too_few_fits_every_secret_equally() -> None:
    """Over all values of one more share the interpolated secrets take each value exactly once."""
    share = split(b"\x12\x34", [1, 2, 3], 2)[0]
    others = [value.to_bytes(2, "big") for value in range(0, 65536, 7)]
    found = combine([[1, 2]] * len(others), [[share, other] for other in others])
    assert len(set(found)) == len(others)


def test_a_wrong_share_gives_another_secret() -> None:
    secret = os.urandom(32)
    shares = split(secret, [1, 2, 3], 2)
    assert combine([[1, 2]], [[shares[0], bytes(32)]]) != [secret]


def test_many_secrets_at_once_equal_one_by_one() -> None:
    secrets = [os.urandom(6) for _ in range(20)]
    points = [list(chosen) for chosen in itertools.islice(itertools.permutations(range(1, 8), 3), 0, 200, 10)]
    shares = [split(secret, each, 3) for secret, each in zip(secrets, points, strict=True)]
    assert combine(points, shares) == secrets
    assert combine([], []) == []


@pytest.mark.parametrize(
    ("secret", "points", "threshold"),
    [
        (b"odd", [1, 2], 2),
        (b"even", [1, 1], 2),
        (b"even", [0, 1], 2),
        (b"even", [1, 65536], 2),
        (b"even", [1, 2], 3),
        (b"even", [1, 2], 0),
        (b"even", [], 1),
    ],
)
def test_what_cannot_be_shared_is_refused(secret: bytes, points: list[int], threshold: int) -> None:
    with pytest.raises(ValueError, match=r"secret|point|threshold"):
        split(secret, points, threshold)


@pytest.mark.parametrize(
    ("points", "shares"),
    [
        ([[1, 2]], [[b"ab"]]),
        ([[1], [1, 2]], [[b"ab"], [b"ab", b"cd"]]),
        ([[1, 2]], [[b"ab", b"cdef"]]),
        ([[1]], [[b"a"]]),
        ([[1, 1]], [[b"ab", b"ab"]]),
        ([[0, 1]], [[b"ab", b"ab"]]),
        ([[1, 2]], []),
    ],
)
def test_shares_that_do_not_belong_together_are_refused(
    points: list[list[int]], shares: list[list[bytes]]
) -> None:
    with pytest.raises(ValueError, match=r"secret|point|shares"):
        combine(points, shares)
