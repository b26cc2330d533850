"""The kernels of function secret sharing: against the twin, the truth table, and what one key alone may show."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import cpu
from medcrypt._ext.dcf import BLOCK, SharedFunction
from reference import dcf as twin

VECTORS = Path(__file__).parent.parent / "vectors" / "inference" / "dcf.json"
KINDS = ("comparison", "point")
SESSION = bytes(range(16))


def roots(count, seed=0):
    """Two seeds for each place of every block: of no secret, so any generator will do."""
    places = -(-count // BLOCK) * BLOCK
    return np.random.default_rng(seed).integers(0, 256, 32 * places, dtype=np.uint8)


def keys_of(function, alpha, beta, seed=0):
    alpha, beta = (np.asarray(values, np.uint64) for values in (alpha, beta))
    keys = [np.full(function.key_size(alpha.size), 0xA5, np.uint8) for _ in range(2)]
    function.generate(alpha, beta, roots(alpha.size, seed), *keys)
    return keys


def values_of(function, party, key, x):
    values = np.full(len(x), 0xA5A5A5A5A5A5A5A5, np.uint64)
    function.evaluate(party, key, np.asarray(x, np.uint64), values)
    return values


def sums_of(function, alpha, beta, x):
    """What the parties' values add up to."""
    keys = keys_of(function, alpha, beta)
    total = values_of(function, 0, keys[0], x) + values_of(function, 1, keys[1], x)
    return total & np.uint64(2 ** (8 * function.payload) - 1)


def truth(kind, payload, alpha, beta, x):
    """The function in the clear."""
    alpha, beta, x = (np.asarray(values, np.uint64) for values in (alpha, beta, x))
    hit = x < alpha if kind == "comparison" else x == alpha
    return np.where(hit, beta & np.uint64(2 ** (8 * payload) - 1), np.uint64(0))


def random_words(count, bits=64, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64) >> np.uint64(64 - bits)


@pytest.mark.parametrize("payload", [4, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_every_alpha_and_x_of_a_small_domain_gives_the_truth(kernel_path, kind, bits, payload):
    alpha, x = (grid.ravel() for grid in np.meshgrid(*[np.arange(2**bits, dtype=np.uint64)] * 2))
    beta = random_words(alpha.size)
    function = SharedFunction(kind, bits, payload, SESSION, kernel_path)
    assert np.array_equal(sums_of(function, alpha, beta, x), truth(kind, payload, alpha, beta, x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [10, 12, *(pytest.param(b, marks=pytest.mark.long) for b in range(13, 17))])
def test_every_alpha_and_every_x_of_a_larger_domain_gives_the_truth(kind, bits):
    domain = np.arange(2**bits, dtype=np.uint64)
    function = SharedFunction(kind, bits, 4, SESSION)
    keys = keys_of(function, domain, np.ones_like(domain))  # one for each alpha, evaluated at every x in turn
    for x in domain:
        at = np.full_like(domain, x)
        total = values_of(function, 0, keys[0], at) + values_of(function, 1, keys[1], at)
        assert np.array_equal(total & np.uint64(2**32 - 1), truth(kind, 4, domain, np.ones_like(domain), at))


@pytest.mark.parametrize("kind", KINDS)
def test_every_x_of_sixteen_bits_gives_the_truth_at_chosen_alphas(kind):
    domain = np.arange(2**16, dtype=np.uint64)
    function = SharedFunction(kind, 16, 8, SESSION)
    for alpha in np.concatenate([[0, 1, 2**15, 2**16 - 2, 2**16 - 1], random_words(3, 16)]).astype(np.uint64):
        at, beta = np.full_like(domain, alpha), random_words(domain.size, seed=int(alpha))
        assert np.array_equal(sums_of(function, at, beta, domain), truth(kind, 8, at, beta, domain))


@pytest.mark.parametrize("payload", [4, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [31, 32, 63, 64])
def test_all_pairs_at_the_boundaries_give_the_truth(kernel_path, kind, bits, payload):
    places = {
        0,
        1,
        2,
        3,
        2**bits - 1,
        2**bits - 2,
        0x5555555555555555 % 2**bits,
        0xAAAAAAAAAAAAAAAA % 2**bits,
    }
    for power in range(bits):
        places |= {2**power, 2**power - 1, (2**power + 1) % 2**bits, 2**bits - 2**power}
    if kernel_path == "portable":
        places = {place for place in places if place.bit_count() in (0, 1, bits - 1, bits)}
        places = set(sorted(places)[:: max(1, len(places) // 24)]) | {0, 2**bits - 1}
    points = np.array(sorted(places), np.uint64)
    alpha, x = (grid.ravel() for grid in np.meshgrid(points, points))
    beta = random_words(alpha.size)
    function = SharedFunction(kind, bits, payload, SESSION, kernel_path)
    assert np.array_equal(sums_of(function, alpha, beta, x), truth(kind, payload, alpha, beta, x))


@given(
    kind=st.sampled_from(KINDS),
    bits=st.integers(1, 64),
    payload=st.sampled_from([4, 8]),
    count=st.integers(0, 37),
    seed=st.integers(0, 2**32),
)
def test_any_shape_of_function_and_any_size_of_batch_gives_the_truth(kind, bits, payload, count, seed):
    alpha, x, beta = (random_words(count, size, seed + place) for place, size in enumerate((bits, bits, 64)))
    near = random_words(count, 2, seed + 3)
    x = np.where(near == 0, alpha, x)
    function = SharedFunction(kind, bits, payload, SESSION)
    assert np.array_equal(sums_of(function, alpha, beta, x), truth(kind, payload, alpha, beta, x))


@given(
    kind=st.sampled_from(KINDS),
    bits=st.sampled_from([1, 2, 7, 8, 31, 32, 33, 63, 64]),
    payload=st.sampled_from([4, 8]),
    seed=st.integers(0, 2**32),
)
def test_keys_and_values_are_those_of_the_twin_on_every_path(kind, bits, payload, seed):
    count, comparison = 17, kind == "comparison"
    alpha, beta = random_words(count, bits, seed), random_words(count, 8 * payload, seed + 1)
    x, seeds = random_words(count, bits, seed + 2), roots(count, seed)
    padded = [*zip(alpha.tolist(), beta.tolist(), strict=True), *[(0, 0)] * (2 * BLOCK - count)]
    pairs = [
        twin.generate(
            SESSION,
            comparison,
            bits,
            payload,
            a,
            b,
            [int.from_bytes(seeds[32 * k + 16 * party :][:16].tobytes(), "little") for party in range(2)],
        )
        for k, (a, b) in enumerate(padded)
    ]
    for path in cpu.paths():
        function = SharedFunction(kind, bits, payload, SESSION, path)
        keys = keys_of(function, alpha, beta, seed)
        for party in range(2):
            own = [pair[party] for pair in pairs]
            assert keys[party].tobytes() == twin.blocks(own, comparison, payload)
            expected = [
                twin.evaluate(SESSION, comparison, bits, payload, party, own[k], int(x[k]))
                for k in range(count)
            ]
            assert values_of(function, party, keys[party], x).tolist() == expected


def test_every_path_writes_the_same_bytes_for_a_long_batch():
    alpha, beta, x = random_words(1000, 32), random_words(1000), random_words(1000, 32, 1)
    results = []
    for path in cpu.paths():
        function = SharedFunction("comparison", 32, 4, SESSION, path)
        keys = keys_of(function, alpha, beta)
        values = [values_of(function, party, keys[party], x) for party in range(2)]
        results.append([part.tobytes() for part in (*keys, *values)])
    assert all(result == results[0] for result in results)


def test_inputs_count_modulo_their_sizes(kernel_path):
    function = SharedFunction("comparison", 8, 4, SESSION, kernel_path)
    high = np.uint64(0xFFFFFFFFFFFFFF00)
    plain = keys_of(function, [100, 200], [7, 8])
    assert all(
        np.array_equal(one, other)
        for one, other in zip(
            plain, keys_of(function, [high + 100, high + 200], [7 + 2**32, 8 + 2**63]), strict=True
        )
    )
    assert np.array_equal(
        values_of(function, 0, plain[0], [99, 200]), values_of(function, 0, plain[0], [high + 99, high + 200])
    )


def test_the_published_vectors_hold(kernel_path):
    """Made once by the twin; see the script beside them."""
    for vector in json.loads(VECTORS.read_text()):
        function = SharedFunction(
            vector["kind"], vector["bits"], vector["payload"], bytes.fromhex(vector["hash_key"]), kernel_path
        )
        alpha, beta, x = (
            np.array([int(n) for n in vector[name]], np.uint64) for name in ("alpha", "beta", "x")
        )
        keys = [np.empty(function.key_size(alpha.size), np.uint8) for _ in range(2)]
        function.generate(alpha, beta, np.frombuffer(bytes.fromhex(vector["roots"]), np.uint8), *keys)
        assert [key.tobytes().hex() for key in keys] == vector["keys"]
        for party in range(2):
            expected = [int(n) for n in vector["values"][party]]
            assert values_of(function, party, keys[party], x).tolist() == expected


# --- what one party sees --------------------------------------------------------------------------


def chi_square(counts):
    """The statistic of equal chances, in standard deviations from its mean."""
    expected = counts.sum() / counts.size
    degrees = counts.size - 1
    return (((counts - expected) ** 2 / expected).sum() - degrees) / np.sqrt(2 * degrees)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("party", [0, 1])
def test_one_value_alone_is_uniform_whatever_the_function(kind, party):
    function = SharedFunction(kind, 32, 4, SESSION)
    count = 40_000
    for alpha, x in ((5, 5), (5, 4), (0, 2**32 - 1), (2**31, 0)):
        keys = keys_of(function, np.full(count, alpha), np.ones(count), seed=alpha + x)
        values = values_of(function, party, keys[party], np.full(count, x))
        for place in range(0, 32, 8):
            assert (
                abs(chi_square(np.bincount(values >> np.uint64(place) & np.uint64(255), minlength=256))) < 6
            )


@pytest.mark.parametrize("kind", KINDS)
def test_one_key_alone_has_the_same_bits_whatever_the_function(kind):
    """Each bit of a key is set in half of all keys, for alphas and betas that have nothing in common.

    Seeds have no lowest bit, by definition, and so have their corrections; a key's t bits are packed, sixteen keys to
    two bytes. With 4096 blocks a fair bit strays by more than 6.5 standard deviations once in 10^10.
    """
    bits, count = 6, 4096 * BLOCK
    function = SharedFunction(kind, bits, 4, SESSION)
    for seed, (alpha, beta) in enumerate(((0, 0), (63, 2**32 - 1), (21, 1))):
        for key in keys_of(function, np.full(count, alpha), np.full(count, beta), seed):
            block = np.unpackbits(key.reshape(-1, function.key_size(1)), axis=1, bitorder="little")
            share = block.mean(axis=0)
            seeds = np.zeros(share.size, bool)
            level_size = (function.key_size(1) - BLOCK * 20) // bits
            for start in [0, *(BLOCK * 16 + level * level_size for level in range(bits))]:
                seeds[8 * start : 8 * (start + BLOCK * 16) : 128] = True
            assert not share[seeds].any()
            assert np.all(np.abs(share[~seeds] - 0.5) < 6.5 / 2 / np.sqrt(4096))


def test_keys_of_the_two_parties_differ_in_their_seeds_only(kernel_path):
    function = SharedFunction("comparison", 32, 4, SESSION, kernel_path)
    key0, key1 = keys_of(function, random_words(16, 32), random_words(16))
    assert not np.any(key0[: 16 * BLOCK].reshape(-1, 16) == key1[: 16 * BLOCK].reshape(-1, 16), axis=1).all()
    assert np.array_equal(key0[16 * BLOCK :], key1[16 * BLOCK :])


# --- sizes and refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "bits", "payload", "most"),
    [("comparison", 32, 4, 700), ("comparison", 64, 8, 1700), ("point", 32, 4, 540), ("point", 64, 8, 1070)],
)
def test_a_key_has_the_size_that_the_documentation_states(kind, bits, payload, most):
    function = SharedFunction(kind, bits, payload, SESSION)
    per_level = 16 + payload * (kind == "comparison") + 0.25
    assert function.key_size(BLOCK) == BLOCK * (16 + payload + bits * per_level)
    assert function.key_size(BLOCK) / BLOCK <= most
    assert function.key_size(0) == 0
    assert function.key_size(1) == function.key_size(BLOCK) == function.key_size(BLOCK + 1) / 2


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "equality"},
        {"bits": 0},
        {"bits": 65},
        {"payload": 2},
        {"payload": 16},
        {"key": bytes(15)},
        {"key": bytes(32)},
        {"path": "sse9"},
    ],
)
def test_a_function_outside_the_contract_is_refused(change):
    arguments = {"kind": "comparison", "bits": 8, "payload": 4, "key": SESSION} | change
    with pytest.raises(ValueError, match=r"."):
        SharedFunction(**arguments)


def test_buffers_of_other_sizes_are_refused(kernel_path):
    function = SharedFunction("comparison", 8, 4, SESSION, kernel_path)
    alpha = beta = np.zeros(3, np.uint64)
    seeds, size = roots(3), function.key_size(3)
    key = np.zeros(size, np.uint8)
    bad = [
        (alpha, beta[:2], seeds, key, key.copy()),
        (alpha, beta, seeds[:-1], key, key.copy()),
        (alpha, beta, seeds, key[:-1], key.copy()),
        (alpha, beta, seeds, key, key[1:].copy()),
        (alpha.astype(np.uint32), beta, seeds, key, key.copy()),
        (np.zeros(6, np.uint64)[::2], beta, seeds, key, key.copy()),
    ]
    for arguments in bad:
        with pytest.raises((ValueError, BufferError)):
            function.generate(*arguments)
    values = np.zeros(3, np.uint64)
    for arguments in [(0, key[:-1], alpha, values), (0, key, alpha, values[:2]), (2, key, alpha, values)]:
        with pytest.raises(ValueError, match=r"."):
            function.evaluate(*arguments)


def test_a_read_only_place_for_results_is_refused(kernel_path):
    function = SharedFunction("comparison", 8, 4, SESSION, kernel_path)
    key, values = np.zeros(function.key_size(1), np.uint8), np.zeros(1, np.uint64)
    values.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        function.evaluate(0, key, np.zeros(1, np.uint64), values)
