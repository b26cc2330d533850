"""Decryption of one ciphertext: the textbook's plaintexts on every path, and no mask twice."""

import os
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import cpu
from medcrypt.errors import InvalidCiphertextError
from medcrypt.paillier import single_decryption
from medcrypt.paillier.arithmetic import Group, random_units
from medcrypt.paillier.single_decryption import SingleDecryption
from reference import paillier as twin

# Equal lengths, unequal ones, the smallest, and lengths around whole digits of the kernels.
PRIMES = [
    *((7, 11), (293, 433), (2**31 + 11, 2**61 - 1), (2**61 - 1, 2**64 - 59), (2**89 - 1, 2**127 - 1)),
    (2**256 - 189, 2**256 + 297),
]
USES = single_decryption._USES


class Holder:
    """A key, and what it drew."""

    def __init__(self, p, q):
        self.p, self.q, self.n = p, q, p * q
        self.group, self.drawn = Group(self.n), []
        self.single = SingleDecryption(p, q)

    def draw(self):
        self.drawn.append(self.group.nth_powers(random_units(self.n, 1)))
        return self.group.residues(list(self.drawn[-1]))

    def decrypt(self, c):
        return self.single.decrypt(c, self.draw)


@pytest.fixture
def bases(monkeypatch):
    """Every base of a secret power, modulo the square of the prime of the last lane."""
    found, plaintexts = [], single_decryption._Side.plaintexts

    def spy(side, ciphertext, mask, result):
        product, out = side.enter_everywhere(ciphertext), bytearray(side.lanes * 2 * side.size)
        side.ring.multiply(product, mask, product)
        side.ring.leave(product, 2 * side.size, out)
        found.append(bytes(out))
        return plaintexts(side, ciphertext, mask, result)

    monkeypatch.setattr(single_decryption._Side, "plaintexts", spy)
    return found


@pytest.mark.parametrize("path", cpu.paths())
@pytest.mark.parametrize("primes", PRIMES, ids=lambda pair: f"{pair[0].bit_length()}-{pair[1].bit_length()}")
def test_edges_decrypt_like_the_textbook(primes, path, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", path)
    holder, key = Holder(*primes), twin.Key(*primes)
    n = holder.n
    for m in (0, 1, 2, n // 2, n - 2, n - 1, *primes, n - primes[0]):
        c = (1 + m % n * n) * pow(random_units(n, 1)[0], n, n * n) % n**2
        assert holder.decrypt(c) == m % n
    for c in (1, n - 1, n + 1, n * n - 1):
        assert holder.decrypt(c) == twin.decrypt(key, c)


@pytest.mark.parametrize("path", cpu.paths())
@pytest.mark.parametrize("bits", [2048, 3072])
def test_keys_of_usual_lengths_decrypt(bits, path, vector_keys, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", path)
    key = vector_keys[bits]
    holder, n = Holder(*sorted((key.p, key.q))), key.public.n
    for m in (0, n - 1, random_units(n, 1)[0]):
        assert holder.decrypt(key.public.raw_encrypt(m)) == m


@given(data=st.data(), primes=st.sampled_from(PRIMES))
def test_any_unit_decrypts_like_the_textbook(data, primes):
    holder = Holder(*primes)
    c = data.draw(st.integers(1, holder.n**2 - 1).filter(lambda c: c % holder.p and c % holder.q))
    assert holder.decrypt(c) == twin.decrypt(twin.Key(*primes), c)


@pytest.mark.parametrize("primes", PRIMES)
def test_what_is_no_unit_or_out_of_range_is_refused_and_nothing_breaks(primes):
    holder = Holder(*primes)
    n = holder.n
    for c in (0, -1, n, n**2, n**2 + 1, holder.p, holder.q, n**2 - holder.p, holder.q**2, 2 * n):
        with pytest.raises(InvalidCiphertextError):
            holder.decrypt(c)
    assert holder.decrypt(1 + n) == 1


def test_no_base_comes_twice_and_the_next_mask_is_the_square_until_a_fresh_one_is_due(bases):
    holder = Holder(2**256 - 189, 2**256 + 297)
    for _ in range(2 * USES + 1):
        assert holder.decrypt(1) == 0  # so the bases are the masks
    assert len(holder.drawn) == 3
    masks = [int.from_bytes(base[-2 * 33 :], "big") for base in bases[1::2]]
    assert len(set(masks)) == len(masks) == 2 * USES + 1
    for i, drawn in enumerate(mask[0] for mask in holder.drawn):
        chain = masks[i * USES : (i + 1) * USES]
        assert chain == [pow(drawn, 2**j, holder.q**2) for j in range(len(chain))]


def test_a_ciphertext_that_is_refused_uses_its_mask_up(bases):
    holder = Holder(*PRIMES[-1])
    with pytest.raises(InvalidCiphertextError):
        holder.decrypt(holder.p)
    holder.decrypt(1)
    assert len(holder.drawn) == 1
    assert int.from_bytes(bases[-1][-2 * 33 :], "big") == pow(holder.drawn[0][0], 2, holder.q**2)


def test_threads_never_share_a_mask(bases):
    holder, together = Holder(*PRIMES[3]), Barrier(8)

    def work(_):
        together.wait()
        return [holder.decrypt(1 + holder.n) for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[1] * 50] * 8
    halves = len(holder.single._sides)
    assert len(bases) == 400 * halves
    assert len(set(bases)) == len(bases)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_repeat_its_parents_masks():
    program = """
        import os
        from medcrypt.paillier import generate_keypair
        public, private = generate_keypair(256, insecure=True)
        private.raw_decrypt(1)
        single = private._single
        def next_masks():
            return [single._masks.take(lambda: private.masks(1))[0].tobytes() for _ in range(3)]
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, repr(next_masks()).encode())
            os._exit(0)
        ours = next_masks()
        os.wait()
        theirs = eval(os.read(read, 1_000_000))
        assert len(set(ours)) == len(set(theirs)) == 3
        assert not set(ours) & set(theirs)
        print("distinct")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "distinct"


def test_masks_exponents_and_what_comes_of_them_are_wiped(monkeypatch):
    """Every array that a decryption makes is zeros after it, but for the mask that is kept; that goes with the key."""
    made, empty = [], single_decryption._Side.empty
    monkeypatch.setattr(single_decryption._Side, "empty", lambda side: made.append(empty(side)) or made[-1])
    holder = Holder(*PRIMES[-1])
    holder.decrypt(1 + holder.n)
    made.clear()
    assert holder.decrypt(1 + holder.n) == 1
    kept = [pairs for mask, _ in holder.single._masks._kept for pairs in mask]
    assert made
    assert all(any(pairs is other for other in kept) == bool(pairs.any()) for pairs in made)
    exponents = [side._exponents for side in holder.single._sides]
    del holder
    assert not any(pairs.any() for pairs in kept)
    assert not any(any(exponent) for exponent in exponents)


def test_it_is_neither_pickled_nor_shown():
    single = SingleDecryption(*PRIMES[-1])
    assert repr(single) == "SingleDecryption()"
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        pickle.dumps(single)
