"""The dealer: makes a key of safe primes, splits the exponent that decrypts, and forgets it.

d is 0 modulo m = p' q' and 1 modulo n, so that c^(2 d) = (1 + n)^(2 M) for every ciphertext c of M. It is the value
at zero of a random polynomial of degree t - 1 modulo n m, and s_i is the value at i: t - 1 of them are
independent of d and uniform (Damgård, Jurik, Nielsen 2010, section 4.1; Shoup 2000, section 4).
"""

import math
import secrets

from medcrypt._ext import bignum
from medcrypt.paillier.arithmetic import Group, random_units, secret_inverse
from medcrypt.paillier.keys import PrivateKey, generate_keypair
from medcrypt.paillier.threshold.key_share import KeyShare
from medcrypt.paillier.threshold.public_key import (
    BLUM_CONTEXT,
    ThresholdPublicKey,
    VerificationKeys,
    check_committee,
)

__all__ = ["deal_threshold_key", "share_out"]


def deal_threshold_key(
    parties: int, threshold: int, bits: int = 3072, *, insecure: bool = False
) -> tuple[ThresholdPublicKey, list[KeyShare]]:
    """Deal a threshold key: any `threshold` of the parties decrypt together, fewer learn nothing.

    Whoever calls this is a **trusted dealer**: for a moment this process holds the whole key. Nothing that
    it returns contains the primes, and it keeps nothing; but Python cannot wipe the integers that it computed with, so
    deal on a machine, in a process, that ends with it. `generate_threshold_key` needs no dealer.

    Parameters
    ----------
    parties
        How many hold a share, 2 to 255.
    threshold
        How many decrypt together, 2 to `parties`.
    bits
        Length of n, a product of two safe primes, as for `generate_keypair`. Takes seconds at 3072.
    insecure
        Allow less than 2048 bits, for tests.

    Returns
    -------
    public : ThresholdPublicKey
        For everybody. Trusted: it encrypts with short exponents, and its bytes carry a proof that others may.
    shares : list of KeyShare
        One for each party, in the order of their numbers. Send each to its party and delete it.

    Raises
    ------
    ValueError
        If the length, the number of parties or the threshold is not allowed.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, combine
    >>> public, shares = deal_threshold_key(parties=5, threshold=3, bits=256, insecure=True)
    >>> total = public.encrypt([0.5, 0.25], Packing(clip=1.0))
    >>> parts = [shares[i].partial_decrypt(total) for i in (4, 0, 2)]
    >>> combine(total, parts).round(6)
    array([0.5 , 0.25])
    """
    check_committee(parties, threshold)
    _, private = generate_keypair(bits, safe_primes=True, insecure=insecure)
    return share_out(private, parties, threshold)


def share_out(private: PrivateKey, parties: int, threshold: int) -> tuple[ThresholdPublicKey, list[KeyShare]]:
    """Split a private key of safe primes among parties; the caller forgets it.

    Parameters
    ----------
    private
        A key of safe primes, which is not checked again.
    parties, threshold
        As for `deal_threshold_key`.

    Returns
    -------
    public, shares
        As for `deal_threshold_key`.
    """
    n, order = private.public.n, (private.p // 2) * (private.q // 2)
    secret = order * secret_inverse(order, n)
    shares = _polynomial_values(secret, n * order, parties, threshold)
    base = random_units(n * n, 1)[0] ** 2 % (n * n)
    public = ThresholdPublicKey(
        n,
        parties=parties,
        threshold=threshold,
        verification=_verification_keys(private.public.group, base, shares),
        proof=private.prove(context=BLUM_CONTEXT),
        insecure=True,  # the caller has checked the length, or was told not to
    )
    return public, [KeyShare._of_dealer(public, i, share) for i, share in enumerate(shares, start=1)]


def _polynomial_values(secret: int, modulus: int, parties: int, threshold: int) -> list[int]:
    """Return f(1) ... f(parties) for a random f of degree threshold - 1 with f(0) = secret, by Horner's rule."""
    coefficients = [secrets.randbelow(modulus) for _ in range(threshold - 1)]
    values = []
    for i in range(1, parties + 1):
        value = 0
        for coefficient in coefficients:
            value = (value + coefficient) * i % modulus
        values.append((value + secret) % modulus)
    return values


def _verification_keys(group: Group, base: int, shares: list[int]) -> VerificationKeys:
    """Return v and v^(D s_i) for every share."""
    delta = math.factorial(len(shares))
    width = -(-(2 * group.n.bit_length() + delta.bit_length()) // 8)
    exponents = bytearray().join((delta * share).to_bytes(width, "big") for share in shares)
    keys = VerificationKeys(base, tuple(group.secret_powers(base, exponents, width)))
    bignum.wipe(exponents)
    return keys
