"""Number theory that the proofs share: Jacobi symbols, and the Chinese remainder theorem for two primes."""

__all__ = ["jacobi", "octet_length", "power_by_factors", "recombine"]


def jacobi(a: int, n: int) -> int:
    """Return the Jacobi symbol (a / n), by quadratic reciprocity.

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
    a %= n
    symbol = 1
    while a:
        twos = (a & -a).bit_length() - 1
        a >>= twos
        if twos % 2 and n % 8 in (3, 5):
            symbol = -symbol
        if a % 4 == n % 4 == 3:
            symbol = -symbol
        a, n = n % a, a
    return symbol if n == 1 else 0


def recombine(x_p: int, x_q: int, p: int, q: int) -> int:
    """Return the residue modulo p q that is x_p modulo p and x_q modulo q (Garner)."""
    return x_q + (x_p - x_q) * pow(q, -1, p) % p * q


def power_by_factors(base: int, exponent: int, p: int, q: int) -> int:
    """Return base^exponent mod p q from the factors, for a unit; a quarter of the work."""
    return recombine(pow(base, exponent % (p - 1), p), pow(base, exponent % (q - 1), q), p, q)


def octet_length(n: int) -> int:
    """Length of n in bytes."""
    return -(-n.bit_length() // 8)
