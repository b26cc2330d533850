"""Number theory that the proofs share: powers on the kernels, Jacobi symbols, the Chinese remainder theorem."""

from collections.abc import Sequence

from medcrypt._ext import bignum
from medcrypt.paillier.arithmetic import FixedBase, Group, secret_inverse

__all__ = ["fixed_base_powers", "jacobi", "octet_length", "powers", "recombine"]


def powers(values: Sequence[int], exponent: int, modulus: int, *, width: int | None = None) -> list[int]:
    """Return x^exponent modulo an odd modulus for every x, in constant time in modulus and exponent.

    Parameters
    ----------
    values
        Non-negative integers, not longer than the square of the modulus.
    exponent
        Not negative.
    modulus
        Odd, at least 3.
    width
        Bytes that the exponent is written in, where its own length is secret; at least 1.

    Returns
    -------
    list of int
        The powers, in order.

    Raises
    ------
    ValueError
        If the width is not positive.
    OverflowError
        If the exponent is negative or does not fit the width.

    Examples
    --------
    >>> powers([2, 3], 5, 1009)
    [32, 243]
    """
    if width is not None and width < 1:
        raise ValueError("an exponent has at least one byte")
    group, size = Group(modulus), octet_length(modulus)
    longest = max(map(octet_length, values), default=1)
    entered = group.decode(b"".join(x.to_bytes(longest, "big") for x in values), longest)
    results = bytearray(size * len(values))
    group.ring.leave_low(entered.pairs, size, results)
    encoded = exponent.to_bytes(max(octet_length(exponent), 1) if width is None else width, "big")
    group.ring.single_powers(results, size, encoded, results, True)
    return [int.from_bytes(results[i : i + size], "big") for i in range(0, len(results), size)]


def fixed_base_powers(base: int, exponents: Sequence[int], modulus: int) -> list[int]:
    """Return base^e modulo an odd modulus for exponents that are not longer than it, in constant time.

    Examples
    --------
    >>> fixed_base_powers(3, [0, 5, 1000], 1009)
    [1, 243, 404]
    """
    return [x % modulus for x in FixedBase(base, modulus, modulus.bit_length()).powers(exponents)]


def jacobi(a: int, n: int) -> int:
    """Return the Jacobi symbol (a / n) of public numbers.

    Parameters
    ----------
    a
        Any integer.
    n
        Odd and positive.

    Returns
    -------
    int
        -1, 0 or 1.

    Examples
    --------
    >>> [jacobi(a, 15) for a in range(8)]
    [0, 1, 1, 0, 1, 0, 0, -1]
    """
    size, symbol = octet_length(n), bytearray(1)
    bignum.jacobi((a % n).to_bytes(size, "big"), size, n.to_bytes(size, "big"), symbol)
    return int.from_bytes(symbol, "big", signed=True)


def recombine(x_p: int, x_q: int, p: int, q: int) -> int:
    """Return the residue modulo p q that is x_p modulo p and x_q modulo q (Garner)."""
    return x_q + (x_p - x_q) * secret_inverse(q, p) % p * q


def octet_length(n: int) -> int:
    """Length of n in bytes."""
    return -(-n.bit_length() // 8)
