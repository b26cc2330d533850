"""How long shares, masks and responses are: the statistical distances of the explanation, in bits."""

import math
from dataclasses import dataclass

__all__ = ["STATISTICAL", "Lengths", "dealerless_share_bits"]

STATISTICAL = 128  # what is hidden by a longer random number is hidden but for 2^-128


@dataclass(frozen=True)
class Lengths:
    """Of the integers that make a key without a dealer.

    Parameters
    ----------
    beta
        Bits of each party's part of the factor that hides phi(n) modulo n.
    mask
        Bits of each party's part of R, which hides what is left of phi(n) beta above n.
    coefficient
        Bits of the coefficients of the polynomials that share R over the integers.
    """

    beta: int
    mask: int
    coefficient: int

    @classmethod
    def of(cls, bits: int, parties: int, threshold: int) -> "Lengths":
        """Choose them for a modulus of `bits` bits.

        * beta: 128 bits longer than n, so that phi(n) beta mod n is uniform.
        * R: 128 bits longer than phi(n) beta / n.
        * Coefficients: two values of D R that differ arbitrarily, D the factorial of the number of parties, are
          told apart by t - 1 shares only where a coefficient leaves its range when it is moved by a
          coefficient of the polynomial D R (1 - x / j_1) (1 - x / j_2) ..., at most D (parties + 1) R.
        """
        beta = bits + STATISTICAL
        mask = beta + STATISTICAL + parties.bit_length()
        moved = (math.factorial(parties) * (parties + 1)).bit_length() + mask
        return cls(beta, mask, moved + threshold.bit_length() + STATISTICAL + 1)


def dealerless_share_bits(bits: int, parties: int, threshold: int) -> int:
    """Bound the shares n h(i) - theta of a key that was generated without a dealer.

    h is the sum of one polynomial for each party; its coefficients are below 2^(coefficient + 1).

    Examples
    --------
    >>> dealerless_share_bits(3072, parties=5, threshold=3)
    6556
    """
    coefficient = Lengths.of(bits, parties, threshold).coefficient
    return bits + coefficient + 1 + threshold.bit_length() + threshold * parties.bit_length()
