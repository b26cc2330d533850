"""Interpolation at zero with integer weights, for exponents whose group order nobody may know."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from medcrypt.paillier.arithmetic import Residues

__all__ = ["interpolated_powers", "weights_at_zero"]


def weights_at_zero(parties: Iterable[int]) -> tuple[int, dict[int, int]]:
    """Return mu and integers w_i with mu f(0) = sum of w_i f(i) for every polynomial of degree below t.

    Lagrange's coefficients at zero are the fractions prod j / (j - i) over j != i; mu is their least common
    denominator. It divides the factorial of the largest index (Shoup, EUROCRYPT 2000, section 3).

    Parameters
    ----------
    parties
        The t indices, distinct and positive.

    Returns
    -------
    mu : int
        The common denominator.
    weights : dict of int
        One weight for each index.

    Examples
    --------
    >>> weights_at_zero([1, 2, 3])
    (1, {1: 3, 2: -3, 3: 1})
    >>> weights_at_zero([2, 5])
    (3, {2: 5, 5: -2})
    """
    indices = list(parties)
    coefficients = {
        i: math.prod((Fraction(j, j - i) for j in indices if j != i), start=Fraction(1)) for i in indices
    }
    mu = math.lcm(*(coefficient.denominator for coefficient in coefficients.values()))
    return mu, {i: int(mu * coefficient) for i, coefficient in coefficients.items()}


def interpolated_powers(bases: Sequence[Residues], weights: Sequence[int]) -> Residues:
    """Return the products over i of bases[i][j]^weights[i], for every j.

    All columns share the weights, which are public and short, so this is Straus's method with one row of
    squarings for all bases: bit by bit, numerators and denominators apart, and one inversion for everything.

    Parameters
    ----------
    bases
        Batches of units of one group, equally long; one batch or more.
    weights
        One exponent for each batch, of any sign; at least one is positive.

    Returns
    -------
    Residues
        One product for each column.

    Examples
    --------
    >>> from medcrypt.paillier.arithmetic import Group
    >>> group = Group(77)
    >>> bases = [group.residues([2, 3]), group.residues([4, 9]), group.residues([1, 5])]
    >>> list(interpolated_powers(bases, [3, -1, 1]))
    [2, 15]
    """
    group = bases[0].group
    above = [(base, weight) for base, weight in zip(bases, weights, strict=True) if weight > 0]
    below = [(base, -weight) for base, weight in zip(bases, weights, strict=True) if weight < 0]
    numerator = _product(above)
    return group.multiply(numerator, group.invert(_product(below))) if below else numerator


def _product(powers: Sequence[tuple[Residues, int]]) -> Residues:
    """Multiply powers of positive exponents column by column, from the highest bit on."""
    group, product = powers[0][0].group, None
    for bit in range(max(exponent for _, exponent in powers).bit_length() - 1, -1, -1):
        if product is not None:
            product = group.power(product, 2)
        for base, exponent in powers:
            if exponent >> bit & 1:
                product = base if product is None else group.multiply(product, base)
    if product is None:
        raise ValueError("an exponent must be positive")
    return product
