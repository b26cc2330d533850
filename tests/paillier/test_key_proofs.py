"""Key proofs: honest ones hold, nothing else does, and a single round lets a cheat through half of the time."""

import itertools
import math
import secrets

import pytest
from Crypto.Util.number import isPrime
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier import PublicKey, generate_keypair
from medcrypt.paillier.proofs import RingPedersen, blum, factors, ring_pedersen
from medcrypt.paillier.proofs.factors import Lengths
from medcrypt.paillier.proofs.residues import jacobi, powers
from medcrypt.paillier.proofs.transcript import Fields, Transcript, octets, pack_bits, unpack_bits
from medcrypt.paillier.safe_primes import random_safe_prime


def refused(verify, *arguments, **keywords):
    with pytest.raises(InvalidKeyError):
        verify(*arguments, **keywords)


def mutations(proof):
    """Every byte changed in turn, cuts, an extra byte, nothing at all."""
    for i in range(len(proof)):
        changed = bytearray(proof)
        changed[i] ^= 1 << (i % 8)
        yield bytes(changed)
    for cut in (0, 1, 5, 6, 7, 8, len(proof) // 2, len(proof) - 1):
        yield proof[:cut]
    yield proof + b"\0"


def prime_above(start, residue, modulus):
    return next(x for x in itertools.count(start) if x % modulus == residue and isPrime(x))


# The transcript

fields = st.lists(st.binary(max_size=6), max_size=4)


@given(a=st.tuples(st.binary(max_size=4), st.binary(max_size=4), fields), b=fields, split=st.integers(0, 4))
def test_different_fields_never_give_the_same_challenge(a, b, split):
    domain, context, first = a

    def challenge(*groups):
        transcript = Transcript(domain, context)
        for group in groups:
            transcript.absorb(b"f", *group)
        return transcript.challenge(16)

    one, two = challenge(first), challenge(b)
    assert (one == two) == (first == b)
    assert challenge(first[:split], first[split:]) != one


def test_domain_and_context_are_kept_apart():
    seen = {
        Transcript(*pair).challenge(16)
        for pair in [(b"ab", b"c"), (b"a", b"bc"), (b"abc", b""), (b"", b"abc")]
    }
    assert len(seen) == 4


def test_residues_of_a_challenge_cover_the_range():
    residues = Transcript(b"test", b"").residues(1009, 4000)
    assert set(residues) <= set(range(1009))
    assert len(set(residues)) > 900
    assert abs(sum(residues) / 4000 - 504) < 50  # 11 standard deviations


@given(st.binary(min_size=1, max_size=32))
def test_bits_round_trip(data):
    assert pack_bits(unpack_bits(data)) == data


def test_fields_must_fill_the_bytes_exactly():
    reader = Fields(b"ab" + octets(258, 2) + (-2).to_bytes(2, "big", signed=True))
    reader.expect(b"ab")
    assert reader.integers(1, 2) == [258]
    assert reader.integers(1, 2, signed=True) == [-2]
    reader.end()
    refused(reader.take, 1)
    refused(Fields(b"ab").expect, b"ac")
    refused(Fields(b"a").end)


@given(a=st.integers(-(10**6), 10**6), n=st.integers(0, 5000).map(lambda k: 2 * k + 1))
def test_the_jacobi_symbol_is_the_product_of_legendre_symbols(a, n):
    expected, rest = 1, n
    for p in range(3, n + 1, 2):
        while rest % p == 0:
            rest //= p
            power = pow(a, (p - 1) // 2, p)
            expected *= -1 if power == p - 1 else power
    assert jacobi(a, n) == expected


# Paillier-Blum modulus


@pytest.fixture(scope="module")
def blum_proof(private):
    return private.prove(context=b"session 1")


def test_an_honest_key_is_proved_and_then_trusted(private, blum_proof):
    received = PublicKey(private.public.n, insecure=True)
    trusted = received.verify(blum_proof, context=b"session 1")
    assert trusted == received
    assert trusted.trusted
    assert not received.trusted
    data = private.public.to_bytes()
    assert PublicKey.from_bytes(data, proof=blum_proof, context=b"session 1", insecure=True).trusted
    refused(PublicKey.from_bytes, data, proof=blum_proof, insecure=True)


@pytest.mark.parametrize("bits", [256, 2048])
def test_keys_of_other_lengths_are_proved(vector_keys, bits):
    private = vector_keys[bits]
    private.public.verify(private.prove())


def test_a_proof_holds_for_its_context_and_key_only(private, stranger, blum_proof):
    public = private.public
    for context in (b"", b"session 2", b"session 1\0"):
        refused(public.verify, blum_proof, context=context)
    refused(stranger.public.verify, blum_proof, context=b"session 1")
    refused(public.verify, stranger.prove(context=b"session 1"), context=b"session 1")


def test_a_changed_blum_proof_is_refused():
    _, private = generate_keypair(64, insecure=True)
    proof = private.prove()
    for changed in mutations(proof):
        refused(private.public.verify, changed)


def test_a_proof_has_one_form_only(private, blum_proof):
    """-x is a fourth root as well, and x + n is the same residue: neither is taken."""
    n, size = private.public.n, 64
    at = 7 + size + 32
    x = int.from_bytes(blum_proof[at : at + size], "big")
    for other in (n - x, 0, n, x + n if x + n < 256**size else n - 1):
        changed = blum_proof[:at] + octets(other, size) + blum_proof[at + size :]
        refused(private.public.verify, changed, context=b"session 1")


def test_no_two_proofs_are_alike(private):
    assert private.prove() != private.prove()


def test_a_faulty_root_never_leaves(private, monkeypatch):
    """A root that is right modulo one prime only would give the factors away."""
    real = blum.recombine
    monkeypatch.setattr(blum, "recombine", lambda x_p, x_q, p, q: real(x_p + 1, x_q, p, q))
    refused(private.prove)


# Wrong moduli. 3 mod 4 and 1 mod 4 primes of about 80 bits, beyond trial division.
P, Q, R, S = (prime_above(start << 76, 3, 4) for start in (9, 11, 13, 15))
U, V = (prime_above(start << 76, 1, 4) for start in (10, 14))
MEDIUM = prime_above(1 << 17, 3, 4)
DIVIDED = prime_above(MEDIUM * 2 << 60, 2 * MEDIUM + 1, 4 * MEDIUM)  # 1 modulo MEDIUM, 3 modulo 4
BAD_MODULI = {
    "three primes": (P, Q, R),
    "four primes": (P, Q, R, S),
    "a square factor": (P, P, Q),
    "a prime power": (P, P, P),
    "one prime is 1 modulo 4": (P, U),
    "both primes are 1 modulo 4": (U, V),
    "gcd(n, phi(n)) is a prime of 18 bits": (MEDIUM, DIVIDED),
    "a small factor and Blum": (65519, Q),
    "a square": (P, P),
    "prime": (P,),
    "even": (2, P, Q),
}


def best_proof(primes, context):
    """Answer every challenge that has an answer, as one who knows all the factors, and guess the others."""
    n = math.prod(primes)
    size = -(-n.bit_length() // 8)
    w = next(
        x for x in itertools.count(2) if n % 2 == 0 or jacobi(x, n) == -1 or len(set(primes)) < len(primes)
    )
    challenges = blum._challenges(n, w, context)
    answers = []
    for y in challenges:
        for a, b in itertools.product((0, 1), repeat=2):
            x = root((-1) ** a * w**b * y, 4, primes)
            if x is not None:
                break
        answers.append((a, b, min(x, n - x) if x else 1))
    nth = [root(y, n, primes) or 1 for y in challenges[: blum.NTH_ROOTS]]
    return b"".join(
        [
            b"MCPB\1",
            octets(n.bit_length(), 2),
            octets(w, size),
            pack_bits(a for a, _, _ in answers),
            pack_bits(b for _, b, _ in answers),
            *(octets(x, size) for _, _, x in answers),
            *(octets(z, size) for z in nth),
        ]
    )


def root(y, k, primes):
    """Return some k-th root modulo the product of the primes where one exists modulo each, else None.

    Squares of primes are treated as if one power were all of them, which is the most that a guess can do.
    """
    x, modulus = 0, 1
    for p in set(primes):
        g = math.gcd(k, p - 1)
        if p > 2 and pow(y, (p - 1) // g, p) != 1:
            return None
        piece = prime_root(y % p, k, p)
        if piece is None:
            return None
        x += (piece - x) * pow(modulus, -1, p) % p * modulus
        modulus *= p
    return x


def prime_root(y, k, p):
    """Return a k-th root modulo p by way of a square root for each factor 2 of gcd(k, p - 1), if odd beyond."""
    if p == 2:
        return 1
    odd = k
    while odd % 2 == 0:
        odd //= 2
    if math.gcd(odd, p - 1) != 1:
        return None
    y = pow(y, pow(odd, -1, p - 1), p)
    for _ in range((k // odd).bit_length() - 1):
        candidates = square_roots(y, p)
        if not candidates:
            return None
        squares = [x for x in candidates if pow(x, (p - 1) // 2, p) == 1]
        y = (squares or candidates)[0]
    return y


def square_roots(y, p):
    """Both square roots modulo p (Cipolla)."""
    if pow(y, (p - 1) // 2, p) != 1:
        return []
    a = next(a for a in itertools.count() if pow(a * a - y, (p - 1) // 2, p) == p - 1)
    (re, im), (r, i), e, c = (1, 0), (a, 1), (p + 1) // 2, a * a - y
    while e:
        if e & 1:
            re, im = (re * r + im * i * c) % p, (re * i + im * r) % p
        r, i, e = (r * r + i * i * c) % p, 2 * r * i % p, e >> 1
    assert re * re % p == y % p
    return [re, p - re]


@pytest.mark.parametrize("primes", BAD_MODULI.values(), ids=BAD_MODULI.keys())
def test_a_wrong_modulus_has_no_proof(primes):
    refused(blum.verify, math.prod(primes), best_proof(primes, b""), b"")


def test_the_cheating_prover_succeeds_where_the_modulus_is_right():
    """So it is the modulus that fails above, not the cheat's skill."""
    blum.verify(P * Q, best_proof((P, Q), b""), b"")


@pytest.mark.parametrize(
    ("primes", "limit"),
    [((7, 11, 19), 1 / 2), ((3, 7, 11, 19), 1 / 4), ((11, 13), 1 / 2), ((13, 17), 1 / 4), ((7, 11), 1)],
)
def test_one_round_of_fourth_roots_lets_a_cheat_through_at_most_half_of_the_time(primes, limit):
    """Counted over all units and all w: the argument of the module's docstring."""
    n = math.prod(primes)
    units = [x for x in range(1, n) if math.gcd(x, n) == 1]
    fourth_powers = {pow(x, 4, n) for x in units}
    shares = []
    for w in units:
        reached = {c * y % n for y in fourth_powers for c in (1, -1, pow(w, -1, n), -pow(w, -1, n))}
        shares.append(len(reached) / len(units))
    assert max(shares) == limit


@pytest.mark.parametrize(("primes", "r"), [((7, 7, 11), 7), ((7, 29), 7), ((11, 23), 11), ((3, 3), 3)])
def test_one_nth_root_lets_a_cheat_through_once_in_r(primes, r):
    n = math.prod(primes)
    units = [x for x in range(1, n) if math.gcd(x, n) == 1]
    assert len({pow(x, n, n) for x in units}) * r <= len(units)


def test_the_repetitions_make_128_bits():
    least_beyond_trial_division = 65537
    assert least_beyond_trial_division**blum.NTH_ROOTS > 2**128
    assert 2**blum.FOURTH_ROOTS >= 2**128
    assert 2**ring_pedersen.ROUNDS >= 2**128
    assert 2 ** Lengths().challenge >= 2**128


def test_a_cheat_passes_one_round_half_of_the_time(monkeypatch):
    """With a single round of fourth roots, three primes are proved after a few tries: the rounds do the work."""
    monkeypatch.setattr(blum, "FOURTH_ROOTS", 8)
    primes, passed = (P, Q, R), 0
    for i in range(300):
        proof = best_proof(primes, octets(i, 2))
        try:
            blum.verify(math.prod(primes), proof, octets(i, 2))
        except InvalidKeyError:
            continue
        passed += 1
    assert passed < 20  # about 300 / 2^8


def test_a_prover_without_blum_primes_gets_an_error_not_a_proof():
    refused(blum.prove, P, U, b"")
    refused(blum.prove, MEDIUM, DIVIDED, b"")


# Ring-Pedersen parameters


@pytest.fixture(scope="module")
def parameters():
    return RingPedersen.generate(256, context=b"hospital 3", insecure=True)


def test_parameters_round_trip_with_their_proof(parameters):
    read = RingPedersen.from_bytes(parameters.to_bytes(), context=b"hospital 3", insecure=True)
    assert read == parameters
    assert read.to_bytes() == parameters.to_bytes()
    assert parameters.n.bit_length() == 256


def test_changed_parameters_are_refused():
    for changed in mutations(RingPedersen.generate(64, insecure=True).to_bytes()):
        refused(RingPedersen.from_bytes, changed, insecure=True)


def test_parameters_are_bound_to_their_context(parameters):
    for context in (b"", b"hospital 4"):
        refused(RingPedersen.from_bytes, parameters.to_bytes(), context=context, insecure=True)


def test_short_parameters_need_the_switch(parameters):
    refused(RingPedersen.from_bytes, parameters.to_bytes(), context=b"hospital 3")
    for bits in (256, 2056, 8208):
        with pytest.raises(ValueError, match="bits must be"):
            RingPedersen.generate(bits)


def test_the_proof_is_not_in_the_repr(parameters):
    assert "proof" not in repr(parameters)


def assembled(n, s, t, bits, answers):
    size = -(-n.bit_length() // 8)
    return b"".join(
        [
            b"MCRP\1",
            octets(n.bit_length(), 2),
            *(octets(x, size) for x in (n, s, t)),
            pack_bits(bits),
            *(octets(z, size) for z in answers),
        ]
    )


def test_an_s_that_is_no_power_of_t_has_no_proof():
    """The cheat guesses each bit and prepares the commitment for it: he is right half of the time."""
    p, q = random_safe_prime(64), random_safe_prime(64)
    n = p * q
    t = pow(secrets.randbelow(n), 2, n)
    s = next(x for x in itertools.count(2) if jacobi(x, n) == -1)  # no square, so no power of one
    answers = [secrets.randbelow(n) for _ in range(ring_pedersen.ROUNDS)]
    guesses = unpack_bits(secrets.token_bytes(16))
    inverse = pow(s, -1, n)
    commitments = [pow(t, z, n) * inverse**e % n for z, e in zip(answers, guesses, strict=True)]
    bits = ring_pedersen._challenge(n, s, t, commitments, b"")
    assert 30 < sum(a == b for a, b in zip(bits, guesses, strict=True)) < 98
    for claimed in (bits, guesses):
        refused(RingPedersen.from_bytes, assembled(n, s, t, claimed, answers), insecure=True)


def test_parameters_filled_in_by_hand_are_verified_too(parameters):
    """Under an s that is no power of t, or a t of small order, a commitment would tell the factors of a key."""
    n, s, t, proof = parameters.n, parameters.s, parameters.t, parameters.proof
    assert RingPedersen(n, s, t, proof, b"hospital 3") == parameters
    for fields in [(n, t, s, proof), (n, s, n - 1, proof), (n, s, t, b""), (n + 2, s, t, proof)]:
        refused(RingPedersen, *fields, b"hospital 3")
    refused(RingPedersen, n, s, t, proof, b"hospital 4")


def test_degenerate_generators_are_refused(parameters):
    n = parameters.n
    for s, t in [(1, 1), (n - 1, n - 1), (parameters.s, 1), (0, parameters.t), (n, parameters.t)]:
        bits = ring_pedersen._challenge(n, s, t, [pow(t, 5, n)] * ring_pedersen.ROUNDS, b"")
        refused(RingPedersen.from_bytes, assembled(n, s, t, bits, [5] * ring_pedersen.ROUNDS), insecure=True)


# No small factor


@pytest.fixture(scope="module")
def factor_proof(private, parameters):
    return private.prove_no_small_factor(parameters, context=b"session 1")


def test_an_honest_key_has_no_small_factor(private, parameters, factor_proof):
    private.public.verify_no_small_factor(factor_proof, parameters, context=b"session 1")


def test_the_factor_proof_holds_for_its_key_parameters_and_context_only(
    private, stranger, parameters, factor_proof
):
    verify = private.public.verify_no_small_factor
    refused(verify, factor_proof, parameters)
    refused(verify, factor_proof, RingPedersen.generate(256, insecure=True), context=b"session 1")
    refused(stranger.public.verify_no_small_factor, factor_proof, parameters, context=b"session 1")


def test_the_factor_proof_is_bound_to_all_of_the_parameters(private):
    primes = random_safe_prime(128), random_safe_prime(128)
    mine, others = (RingPedersen._of_safe_primes(*primes, b"") for _ in range(2))
    assert mine.n == others.n
    proof = private.prove_no_small_factor(mine)
    private.public.verify_no_small_factor(proof, mine)
    refused(private.public.verify_no_small_factor, proof, others)


def test_only_parameters_are_parameters(private, parameters, factor_proof):
    for bad in (parameters.to_bytes(), None, (parameters.n, parameters.s, parameters.t)):
        with pytest.raises(TypeError, match="RingPedersen"):
            private.prove_no_small_factor(bad)
        with pytest.raises(TypeError, match="RingPedersen"):
            private.public.verify_no_small_factor(factor_proof, bad)


def test_a_changed_factor_proof_is_refused(private, parameters, factor_proof):
    for changed in mutations(factor_proof):
        refused(private.public.verify_no_small_factor, changed, parameters, context=b"session 1")


# At these lengths n of 512 bits bounds its factors by 2^(256 - 50 - 1) from below.
SHORT = Lengths(ell=20, epsilon=30, challenge=16)


def test_shorter_lengths_prove_longer_keys(private, parameters):
    for _ in range(20):
        proof = factors.prove(private.p, private.q, parameters, b"", SHORT)
        factors.verify(private.public.n, proof, parameters, b"", SHORT)
    refused(factors.verify, private.public.n, proof, parameters, b"")


def test_a_small_factor_has_no_proof(parameters):
    """One factor of 150 bits: the answer for the other one leaves the range, however the mask is chosen."""
    p, q = prime_above(1 << 150, 3, 4), prime_above(1 << 361, 3, 4)
    refused(factors.verify, p * q, cheating(p, q, parameters), parameters, b"", SHORT)


def test_the_same_cheat_passes_where_the_factors_are_long(private, parameters):
    proof = cheating(private.p, private.q, parameters)
    factors.verify(private.public.n, proof, parameters, b"", SHORT)


def test_factors_that_do_not_multiply_to_n_have_no_proof(private, parameters):
    """Short numbers of any other product fail the third equation."""
    p, q, n = private.p, private.q, private.public.n
    for other in ((p, q + 2), (p, p), (1, 1), (-p, q), (0, 0)):
        refused(factors.verify, n, cheating(*other, parameters, n), parameters, b"", SHORT)
    factors.verify(n, cheating(-p, -q, parameters, n), parameters, b"", SHORT)  # the sign proves nothing


def test_the_product_of_one_and_n_is_out_of_range(private, parameters):
    n = private.public.n
    refused(factors.verify, n, cheating(1, n, parameters), parameters, b"", SHORT)


def cheating(p, q, parameters, n=None):
    """Follow the protocol with any integers and the shortest masks that fit, without looking at the range."""
    n, big, s, t = n or p * q, parameters.n, parameters.s, parameters.t
    short = math.isqrt(n) >> 1

    def commit(x, mask):
        return pow(s, x, big) * pow(t, mask, big) % big

    alpha, beta, mu, nu, x, y, sigma, r = (secrets.randbelow(short) for _ in range(8))
    q_commitment = commit(q, nu)
    first = factors._Commitment(
        commit(p, mu),
        q_commitment,
        commit(alpha, x),
        commit(beta, y),
        pow(q_commitment, alpha, big) * pow(t, r, big) % big,
        sigma,
    )
    c = factors._challenge(n, parameters, first, b"", SHORT)
    answers = alpha + c * p, beta + c * q, x + c * mu, y + c * nu, r + c * (sigma - nu * p)
    widths = factors._widths(n, big, SHORT)
    cut = [
        (a + 2 ** (8 * w - 1)) % 2 ** (8 * w) - 2 ** (8 * w - 1)
        for a, w in zip(answers, widths[1:], strict=True)
    ]
    return factors._encode(n, big, first, tuple(cut), SHORT)


def test_parameters_of_the_prover_himself_are_refused(private):
    """Whoever knows the factors of the parameters proves anything: they must not share one with n."""
    own = RingPedersen._of_safe_primes(private.p, private.q, b"")
    with pytest.raises(ValueError, match="own"):
        private.prove_no_small_factor(own)
    refused(private.public.verify_no_small_factor, bytes(10), own)


def test_commitments_that_are_no_units_are_refused(private, parameters, factor_proof):
    n, size = private.public.n, 32
    for at in range(9, 9 + 5 * size, size):
        for bad in (0, parameters.n, 256**size - 1):
            changed = factor_proof[:at] + octets(bad, size) + factor_proof[at + size :]
            refused(factors.verify, n, changed, parameters, b"session 1")


def test_masks_cover_both_signs():
    drawn = [factors._between(3) for _ in range(300)]
    assert set(drawn) == set(range(-3, 4))


def test_challenges_cover_both_signs(private, parameters):
    n = private.public.n
    drawn = {
        factors._challenge(n, parameters, factors._Commitment(i, 1, 1, 1, 1, 0), b"", Lengths(2, 2, 2))
        for i in range(200)
    }
    assert drawn == set(range(-4, 4))


def test_an_exponent_needs_a_width_that_holds_it():
    assert powers([2, 3], 5, 1009, width=1) == powers([2, 3], 5, 1009, width=7) == [32, 243]
    for width in (0, -1):
        with pytest.raises(ValueError, match="at least one byte"):
            powers([2], 0, 1009, width=width)
    with pytest.raises(OverflowError):
        powers([2], 256, 1009, width=1)
