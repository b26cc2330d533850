"""Shamir's shares modulo an integer, and over the integers.

Sharing modulo M is perfect as in a field if M has no prime factor up to the number of parties: the differences of
the evaluation points 0 ... l are units then, and that is all that interpolation and its proof divide by.
Products of shares (Ben-Or, Goldwasser, Wigderson, STOC 1988) have twice the degree; polynomials of that degree
with value zero make them uniform before they are opened.
"""

import math
import secrets
from collections.abc import Sequence

__all__ = ["integer_shares", "opening_weights", "ring_modulus", "shares", "zero_shares", "zero_sum"]


def ring_modulus(bits: int, parties: int) -> int:
    """Return the least modulus above 2^bits that has no factor up to the number of parties.

    Examples
    --------
    >>> ring_modulus(9, parties=5)
    517
    """
    modulus = (1 << bits) + 1
    while math.gcd(modulus, math.factorial(parties)) != 1:
        modulus += 2
    return modulus


def shares(secret: int, degree: int, parties: int, modulus: int) -> list[int]:
    """Share a secret: the values at 1 ... parties of a random polynomial of that degree.

    Examples
    --------
    >>> dealt = shares(42, degree=2, parties=4, modulus=517)
    >>> sum(w * s for w, s in zip(opening_weights(3), dealt)) % 517
    42
    """
    coefficients = [secrets.randbelow(modulus) for _ in range(degree)]
    return [_value(coefficients, i, secret) % modulus for i in range(1, parties + 1)]


def zero_shares(degree: int, parties: int, modulus: int) -> list[int]:
    """Share zero."""
    return shares(0, degree, parties, modulus)


def zero_sum(parties: int, modulus: int) -> list[int]:
    """Return random numbers, one for each party, that add up to zero: additive shares of it."""
    parts = [secrets.randbelow(modulus) for _ in range(parties - 1)]
    return [*parts, -sum(parts) % modulus]


def opening_weights(count: int) -> list[int]:
    """Return w with f(0) = sum of w_i f(i), i = 1 ... count, for every f of degree below count.

    Lagrange's coefficients of consecutive points are integers, binomial coefficients with alternating signs.

    Examples
    --------
    >>> opening_weights(3)
    [3, -3, 1]
    """
    return [(-1) ** (i - 1) * math.comb(count, i) for i in range(1, count + 1)]


def integer_shares(secret: int, degree: int, parties: int, coefficient_bits: int) -> list[int]:
    """Share a non-negative secret over the integers: f(0) = parties! secret, values at 1 ... parties.

    The coefficients are uniform in [2^c, 2^(c + 1)): they hide multiples of parties! that are short enough
    (see `Lengths`), and keep every share far above zero.

    Examples
    --------
    >>> dealt = integer_shares(7, degree=1, parties=3, coefficient_bits=40)
    >>> 2 * dealt[0] - dealt[1] == 6 * 7
    True
    """
    low = 1 << coefficient_bits
    coefficients = [low + secrets.randbelow(low) for _ in range(degree)]
    return [_value(coefficients, i, math.factorial(parties) * secret) for i in range(1, parties + 1)]


def _value(coefficients: Sequence[int], i: int, constant: int) -> int:
    """Evaluate a polynomial at i, by Horner's rule; its highest coefficient comes first."""
    value = 0
    for coefficient in coefficients:
        value = (value + coefficient) * i
    return value + constant
