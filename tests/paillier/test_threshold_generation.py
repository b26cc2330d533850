"""Threshold keys without a dealer: right for every committee, and each step of the protocol by itself."""

import math
import pickle
import secrets
from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt.errors import InvalidCiphertextError, MedcryptError, ProtocolError
from medcrypt.paillier import (
    CommitteeMember,
    KeyShare,
    Packing,
    PartialDecryption,
    ThresholdPublicKey,
    combine,
    combine_integers,
    generate_threshold_key,
    sift,
)
from medcrypt.paillier.primes import is_probable_prime, random_blum_prime
from medcrypt.paillier.proofs.residues import jacobi
from medcrypt.paillier.threshold.generation import ring_sharing
from medcrypt.paillier.threshold.generation.candidates import (
    BASES,
    Candidate,
    bases_of,
    first_powers,
    is_consistent,
    promising,
)
from medcrypt.paillier.threshold.lagrange import weights_at_zero
from medcrypt.paillier.threshold.lengths import Lengths, dealerless_share_bits

PACKING = Packing(clip=1.0, bits=16, max_terms=4)


@pytest.fixture(scope="module")
def committee():
    return generate_threshold_key(parties=5, threshold=3, bits=256, insecure=True)


def run(party_count, threshold, bits, order, session=b"", spy=None):
    """Run a committee; `order` picks which message of those that wait is delivered next."""
    committee = [
        CommitteeMember(
            i, parties=party_count, threshold=threshold, bits=bits, session=session, insecure=True
        )
        for i in range(1, party_count + 1)
    ]
    post = [(member.party, *message) for member in committee for message in member.start()]
    while post:
        sender, recipient, data = post.pop(order(len(post)))
        if spy is not None:
            spy(sender, recipient, data)
        post += [(recipient, *answer) for answer in committee[recipient - 1].receive(sender, data)]
    return committee


# --- whole runs ---------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.data())
def test_any_threshold_of_any_committee_decrypts(data):
    parties = data.draw(st.integers(3, 7))
    threshold = data.draw(st.integers(2, parties))
    public, shares = generate_threshold_key(parties, threshold, bits=128, insecure=True)
    values = np.arange(-10, 10)
    total = 3 * public.encrypt_integers(values, PACKING)
    chosen = data.draw(st.permutations(shares))[:threshold]
    summed = combine_integers(total, [share.partial_decrypt(total) for share in chosen])
    assert summed.tolist() == (3 * values).tolist()


@pytest.mark.parametrize("bits", [64, 80, 256])
def test_n_has_exactly_the_length_asked_for(bits):
    public, shares = generate_threshold_key(parties=3, threshold=2, bits=bits, insecure=True)
    assert public.n.bit_length() == bits
    assert [share.party for share in shares] == [1, 2, 3]


def test_messages_may_arrive_in_any_order():
    chosen = secrets.SystemRandom()
    committee = run(4, 2, 64, order=chosen.randrange)
    assert len({member.share.public.threshold_fingerprint for member in committee}) == 1


def test_n_is_a_product_of_two_blum_primes_that_no_message_shows(monkeypatch):
    parts, sent = {}, []

    def remember(self, n, mine, protocol=CommitteeMember._exponent):
        parts[self.party] = mine
        return (yield from protocol(self, n, mine))

    monkeypatch.setattr(CommitteeMember, "_exponent", remember)
    committee = run(3, 2, 128, order=lambda count: 0, spy=lambda *message: sent.append(message[2]))
    p, q = (sum(getattr(part, name) for part in parts.values()) for name in "pq")
    public = committee[0].share.public
    assert p * q == public.n
    assert all(is_probable_prime(x) and x % 4 == 3 for x in (p, q))
    numbers = [p, q, *(x for part in parts.values() for x in (part.p, part.q, part.sum))]
    for number in numbers:
        assert not any(number.to_bytes(16, "big") in data for data in sent)


def test_the_shared_exponent_is_a_multiple_of_the_totient(monkeypatch):
    parts = {}

    def remember(self, n, mine, protocol=CommitteeMember._exponent):
        parts[self.party] = mine
        return (yield from protocol(self, n, mine))

    monkeypatch.setattr(CommitteeMember, "_exponent", remember)
    public, shares = generate_threshold_key(parties=5, threshold=3, bits=128, insecure=True)
    totient = public.n + 1 - sum(part.sum for part in parts.values())
    for subset in combinations(shares, 3):
        values = {share.party: share._integer() for share in subset}
        mu, weights = weights_at_zero(values)
        exponent = sum(weights[i] * value for i, value in values.items())
        assert exponent % (mu * totient) == 0
        assert exponent // mu % public.n == public.theta


@pytest.mark.long
def test_a_key_of_2048_bits_is_made_in_minutes():
    public, shares = generate_threshold_key(parties=3, threshold=2, bits=2048)
    total = public.encrypt([0.25, -1.0], PACKING)
    parts = [share.partial_decrypt(total) for share in shares[1:]]
    assert combine(total, parts).round(4).tolist() == [0.25, -1.0]


# --- what such a key claims ---------------------------------------------------------------------------


def test_a_key_without_a_dealer_names_nobody(committee):
    public, shares = committee
    assert (public.identifies_cheaters, public.trusted, public.verification) == (False, False, None)
    total = public.encrypt([0.5], PACKING)
    parts = [share.partial_decrypt(total) for share in shares[:3]]
    wrong = PartialDecryption(public, 2, public.group.residues([4]), parts[1]._digest, None)
    with pytest.raises(ProtocolError, match="nobody can say whose") as caught:
        combine(total, [parts[0], wrong, parts[2]])
    assert caught.value.party is None
    # A party that adds a multiple of n in place of breaking anything is not even noticed, or only by chance.
    shifted = public.group.multiply(parts[1].residues, [public.n + 1])
    quiet = PartialDecryption(public, 2, shifted, parts[1]._digest, None)
    try:
        summed = combine(total, [parts[0], quiet, parts[2]])
    except InvalidCiphertextError:
        pass
    else:
        assert summed.round(3) != [0.5]
    with pytest.raises(ProtocolError, match="party 1: a second"):
        combine(total, [parts[0], parts[0], parts[1]])
    assert sift(total, parts)[1] == []


def test_fewer_parties_than_the_threshold_are_refused(committee):
    public, shares = committee
    total = public.encrypt([0.5], PACKING)
    with pytest.raises(ProtocolError, match="3 parties decrypt together"):
        combine(total, [share.partial_decrypt(total) for share in shares[:2]])


def test_keys_shares_and_parts_survive_their_bytes(committee, tmp_path):
    public, shares = committee
    again = ThresholdPublicKey.from_bytes(public.to_bytes(), insecure=True)
    assert (again.to_bytes(), again.theta) == (public.to_bytes(), public.theta)
    assert (again.parties, again.threshold, again.identifies_cheaters) == (5, 3, False)
    shares[4].save(tmp_path / "share", passphrase="six random words")
    loaded = KeyShare.load(tmp_path / "share", again, passphrase="six random words")
    assert loaded == shares[4]
    total = again.encrypt([0.5, -1.0], PACKING)
    sent = [share.partial_decrypt(total).to_bytes() for share in (loaded, shares[0], shares[2])]
    parts = [PartialDecryption.from_bytes(data, again) for data in sent]
    assert [part.to_bytes() for part in parts] == sent
    assert combine(total, parts).round(4).tolist() == [0.5, -1.0]
    for size in (0, 20, len(public.to_bytes()) - 1):
        with pytest.raises(MedcryptError):
            ThresholdPublicKey.from_bytes(public.to_bytes()[:size], insecure=True)


@pytest.mark.parametrize("committee_size", [(2, 2), (3, 1), (3, 4), (256, 2)])
def test_committees_that_are_too_small_or_make_no_sense_are_refused(committee_size):
    with pytest.raises(ValueError, match=r"parties"):
        generate_threshold_key(*committee_size, bits=64, insecure=True)


@pytest.mark.parametrize("bits", [48, 100, 8208])
def test_lengths_that_are_not_allowed_are_refused(bits):
    with pytest.raises(ValueError, match="multiple of 16"):
        generate_threshold_key(3, 2, bits=bits, insecure=True)
    with pytest.raises(ValueError, match="multiple of 16"):
        generate_threshold_key(3, 2, bits=1024)


# --- messages -----------------------------------------------------------------------------------------


def pair():
    """Two members that have started, and the first message of the second to the first."""
    fields = {"parties": 3, "threshold": 2, "bits": 64, "session": b"s", "insecure": True}
    first, second = (CommitteeMember(i, **fields) for i in (1, 2))
    first.start()
    return first, dict(second.start())[1]


def test_messages_that_are_not_due_are_refused_with_the_name_of_the_sender():
    first, message = pair()

    def refused(sender, data):
        with pytest.raises(ProtocolError) as caught:
            first.receive(sender, data)
        assert caught.value.party == f"party {sender}"

    late = bytearray(message)
    late[37:41] = (2).to_bytes(4, "big")
    foreign = bytearray(message)
    foreign[6] ^= 1
    misdirected = bytearray(message)
    misdirected[42] = 3
    for data in (late, foreign, misdirected, message[:20], b"", b"MCTG\2" + message[5:]):
        refused(2, bytes(data))
    for sender in (1, 3, 4, 0):
        refused(sender, message)
    assert first.receive(2, message) == []
    refused(2, message)


@pytest.mark.parametrize("spoil", [lambda m: m[:-1], lambda m: m + b"\0", lambda m: m[:-9] + b"\xff" * 9])
def test_bodies_that_are_malformed_are_refused_when_the_round_is_complete(spoil):
    first, message = pair()
    third = CommitteeMember(3, parties=3, threshold=2, bits=64, session=b"s", insecure=True)
    first.receive(2, spoil(message))
    with pytest.raises(ProtocolError) as caught:
        first.receive(3, dict(third.start())[1])
    assert caught.value.party == "party 2"


def test_members_of_different_sessions_or_parameters_do_not_understand_each_other():
    first, _ = pair()
    fields = {"parties": 3, "threshold": 2, "bits": 64, "session": b"s"}
    for change in ({"session": b"t"}, {"threshold": 3}, {"bits": 80}, {"parties": 4}):
        other = CommitteeMember(2, **{**fields, **change}, insecure=True)
        with pytest.raises(ProtocolError, match="another session"):
            first.receive(2, dict(other.start())[1])


def test_members_start_once_and_before_they_listen():
    member = CommitteeMember(1, parties=3, threshold=2, bits=64, insecure=True)
    with pytest.raises(RuntimeError, match="not started"):
        member.receive(2, b"")
    member.start()
    with pytest.raises(RuntimeError, match="already"):
        member.start()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(member)
    assert repr(member) == "CommitteeMember(party=1, parties=3, bits=64)"
    assert member.share is None
    with pytest.raises(ValueError, match="number"):
        CommitteeMember(4, parties=3, threshold=2, bits=64, insecure=True)


def test_a_member_that_has_its_share_takes_no_more_messages():
    sent = []
    committee = run(3, 2, 64, order=lambda count: 0, spy=lambda *message: sent.append(message))
    sender, recipient, data = sent[-1]
    with pytest.raises(ProtocolError, match="not due"):
        committee[recipient - 1].receive(sender, data)


# --- sharing ------------------------------------------------------------------------------------------


@given(st.data())
def test_products_of_shares_open_to_the_product(data):
    parties = data.draw(st.integers(3, 9))
    degree, modulus = (parties - 1) // 2, ring_sharing.ring_modulus(data.draw(st.integers(8, 300)), parties)
    x, y = (data.draw(st.integers(0, modulus - 1)) for _ in "xy")
    columns = zip(
        ring_sharing.shares(x, degree, parties, modulus),
        ring_sharing.shares(y, degree, parties, modulus),
        ring_sharing.zero_shares(2 * degree, parties, modulus),
        strict=True,
    )
    opened = [(a * b + zero) % modulus for a, b, zero in columns]
    weights = ring_sharing.opening_weights(2 * degree + 1)
    assert sum(w * s for w, s in zip(weights, opened, strict=False)) % modulus == x * y % modulus
    assert sum(ring_sharing.zero_sum(parties, modulus)) % modulus == 0


@pytest.mark.parametrize("secret", [0, 1, 34])
def test_shares_of_half_of_the_parties_are_uniform_whatever_the_secret(monkeypatch, secret):
    """All polynomials of degree 2 modulo 77, factors above the five parties: each pair of shares comes up once."""
    parties, modulus = 5, 77
    found = {corrupt: Counter() for corrupt in combinations(range(parties), 2)}
    for coefficients in product(range(modulus), repeat=2):
        drawn = iter(coefficients)
        monkeypatch.setattr(ring_sharing.secrets, "randbelow", lambda limit, drawn=drawn: next(drawn))
        dealt = ring_sharing.shares(secret, 2, parties, modulus)
        for corrupt, counter in found.items():
            counter[tuple(dealt[i] for i in corrupt)] += 1
    assert all(set(counter.values()) == {1} and len(counter) == modulus**2 for counter in found.values())


@given(st.data())
def test_integer_shares_hide_a_multiple_of_the_factorial(data):
    """The polynomial that changes the secret and no share of the corrupted parties has short, whole coefficients."""
    parties = data.draw(st.integers(3, 12))
    corrupt = data.draw(st.sets(st.integers(1, parties), min_size=1, max_size=parties - 1))
    sweeping = [math.factorial(parties)]
    for j in corrupt:  # times (1 - x / j)
        sweeping = [
            Fraction(a) - Fraction(b) / j for a, b in zip([*sweeping, 0], [0, *sweeping], strict=True)
        ]
    assert all(a.denominator == 1 for a in sweeping)
    assert max(map(abs, sweeping)) <= math.factorial(parties) * (parties + 1)
    lengths = Lengths.of(2048, parties, len(corrupt) + 1)
    moved = len(corrupt) * int(max(map(abs, sweeping))) << lengths.mask
    assert moved << 128 <= 1 << lengths.coefficient


@given(st.integers(3, 9), st.data())
def test_shares_over_the_integers_lie_on_one_polynomial_and_are_positive(parties, data):
    degree, secret = data.draw(st.integers(1, parties - 1)), data.draw(st.integers(0, 2**64))
    dealt = ring_sharing.integer_shares(secret, degree, parties, 100)
    weights = ring_sharing.opening_weights(degree + 1)
    opened = sum(w * s for w, s in zip(weights, dealt, strict=False))
    assert opened == math.factorial(parties) * secret
    assert all(share >= 1 << 100 for share in dealt)


@pytest.mark.parametrize(("parties", "threshold"), [(3, 2), (3, 3), (5, 3), (20, 2), (20, 20), (255, 128)])
def test_shares_are_positive_and_fit_their_bytes_whatever_was_drawn(parties, threshold):
    bits = 2048
    lengths, delta = Lengths.of(bits, parties, threshold), math.factorial(parties)
    coefficients = [1 << lengths.coefficient, (2 << lengths.coefficient) - 1]
    # The shares of R at 1 and at the last party, all coefficients least or greatest, and R itself as well.
    least, most = (
        parties * (delta * mask + sum(a * i**k for k in range(1, threshold)))
        for a, i, mask in zip(coefficients, (1, parties), (0, (1 << lengths.mask) - 1), strict=True)
    )
    totient_beta = parties << bits + lengths.beta
    n_least, n_most = 1 << bits - 1, 1 << bits
    assert n_least * least > delta * totient_beta  # for R = 0: what is taken off is D phi beta
    assert n_most * most < 1 << dealerless_share_bits(bits, parties, threshold)


# --- candidates ---------------------------------------------------------------------------------------


def split(p, q, parties):
    """Parts as a committee would have drawn them, for given p and q that are 3 modulo 4."""
    rest = [[4 * secrets.randbelow(x // (8 * parties)) for _ in range(parties - 1)] for x in (p, q)]
    firsts = [x - sum(parts) for x, parts in zip((p, q), rest, strict=True)]
    return [
        Candidate(i, *parts)
        for i, parts in enumerate(
            zip(*([f, *r] for f, r in zip(firsts, rest, strict=True)), strict=True), start=1
        )
    ]


def passes(p, q, bases=BASES, parties=3):
    n = p * q
    return is_consistent(n, [part.powers(bases_of(n, bases), n) for part in split(p, q, parties)])


@settings(max_examples=10)
@given(st.integers(3, 6))
def test_products_of_two_blum_primes_pass_the_biprimality_test(parties):
    p, q = random_blum_prime(64), random_blum_prime(64)
    assert passes(p, q, parties=parties)


def test_other_products_fail_the_biprimality_test():
    a, b, c, d = (random_blum_prime(40) for _ in range(4))
    e = next(x for x in range(1 << 39 | 1, 1 << 40, 4) if is_probable_prime(x))  # 1 modulo 4
    for p, q in permutations((a * b * c, random_blum_prime(120)), 2):
        assert not passes(p, q)
    assert not passes(a * b * c, a * b * d)
    assert not passes(e * a, e * b)  # both 3 modulo 4, neither prime
    assert not passes(561 * 7, 4079)  # 561 is a Carmichael number


@given(st.integers(0, 20), st.sampled_from([1, 2]))
def test_first_powers_are_the_powers_of_the_first_bases(count, party):
    candidates = []
    for _ in range(count):
        p, q = random_blum_prime(64), random_blum_prime(64)
        candidates.append((p * q, split(p, q, 3)[party - 1]))
    assert first_powers(candidates) == [pow(bases_of(n, 1)[0], part.exponent(n), n) for n, part in candidates]


def test_a_wrong_n_passes_for_half_of_the_bases_at_most():
    """All bases of all small n with factors that are 3 modulo 4: primes pass always, others for at most a half."""
    seen = Counter()
    for p, q in combinations(range(3, 60, 4), 2):
        n = p * q
        if math.gcd(n, p + q - 1) != 1:
            continue
        bases = [g for g in range(1, n) if jacobi(g, n) == 1]
        rows = [part.powers(bases, n) for part in (Candidate(1, p, q), Candidate(2, 0, 0))]
        passing = sum(is_consistent(n, [[a], [b]]) for a, b in zip(*rows, strict=True))
        prime = all(is_probable_prime(x) for x in (p, q))
        assert passing == len(bases) if prime else 2 * passing <= len(bases)
        seen[prime] += 1
    assert min(seen[True], seen[False]) > 20


def test_bases_have_jacobi_symbol_one_and_are_everybodys():
    n = random_blum_prime(64) * random_blum_prime(64)
    bases = bases_of(n, 40)
    assert bases == bases_of(n, 40)
    assert bases[:5] == bases_of(n, 5)
    assert len(set(bases)) == 40
    assert all(jacobi(g, n) == 1 for g in bases)


@given(st.integers(3, 9), st.sampled_from([64, 128, 2048]))
def test_candidates_have_their_length_and_residue(parties, bits):
    drawn = [Candidate.draw(i, parties, bits) for i in range(1, parties + 1)]
    p, q = sum(c.p for c in drawn), sum(c.q for c in drawn)
    assert p % 4 == q % 4 == 3
    assert (p * q).bit_length() == bits
    assert sum(c.totient_part(p * q) for c in drawn) == (p - 1) * (q - 1)
    assert str(drawn[0].p) not in repr(drawn[0])


def test_trial_division_finds_every_small_prime():
    p = random_blum_prime(64)
    for small in (3, 293, 307, 65521):
        n = small * p
        assert not promising(n, n.bit_length())
    assert promising(p * 65537, (p * 65537).bit_length())
    assert not promising(p * 65537, 128)
