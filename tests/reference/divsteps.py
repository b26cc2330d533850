"""Readable twin of `inverse.c`: division steps on Python's integers, one at a time.

Bernstein and Yang, Fast constant-time gcd computation and modular inversion (CHES 2019), section 8, starting from
delta = 1/2; d and e follow f and g modulo n, and are halved as well.
"""


def most_steps(bits: int) -> int:
    """Steps after which g = 0 for all 0 <= x <= n <= 2^bits (s2n-bignum, DIVSTEP_ENDTOEND_BITS_SIMPLE)."""
    return -(-(9437 * bits + 1) // 4096)


def divstep(twice_delta: int, f: int, g: int) -> tuple[int, int, int]:
    """One step; delta is a half of an odd number."""
    if twice_delta > 0 and g % 2 == 1:
        return 2 - twice_delta, g, (g - f) // 2
    return twice_delta + 2, f, (g + g % 2 * f) // 2


def steps_until_done(x: int, n: int) -> int:
    """How many steps it takes until g = 0."""
    count, (twice_delta, f, g) = 0, (1, n, x)
    while g:
        twice_delta, f, g = divstep(twice_delta, f, g)
        count += 1
    return count


def inverse(x: int, n: int) -> int | None:
    """Return x^-1 modulo an odd n for 0 <= x < n, or None."""
    twice_delta, f, g, d, e = 1, n, x, 0, 1  # f = d x and g = e x modulo n
    for _ in range(most_steps(n.bit_length())):
        exchanged = twice_delta > 0 and g % 2 == 1
        d, e = (e, e - d) if exchanged else (d, e + g % 2 * d)
        twice_delta, f, g = divstep(twice_delta, f, g)
        e = (e if e % 2 == 0 else e + n) // 2 % n
    assert g == 0
    return d * f % n if abs(f) == 1 else None
