"""The chaotic maps in Python integers, written from the equations; one lane at a time."""


class Words:
    """Fixed point of some bits."""

    def __init__(self, bits):
        self.bits, self.m = bits, 1 << bits

    def mask(self, x):
        return x % self.m

    def flipped(self, x):
        return self.m - 1 - x

    def hi(self, a, b):
        return a * b // self.m

    def quadratic(self, x):
        return x * self.flipped(x) >> (self.bits - 2)

    def sine(self, y):
        return y * self.m // ((5 * self.m - y) // 4)

    def signed(self, x):
        return x - self.m if x >> (self.bits - 1) else x

    def scaled(self, a, b, fraction):
        return self.signed(a) * self.signed(b) >> fraction


def logistic(w, x, q):
    return [w.hi(q[0], w.quadratic(x[0]))]


def tent(w, x, q):
    return [w.hi(q[0], 2 * min(x[0], w.flipped(x[0])))]


def piecewise(w, x, q):
    folded, (p, a, c) = min(x[0], w.flipped(x[0])), q
    product = folded * a if folded < p else (folded - p) * c
    return [w.mask(product >> (w.bits - 5))]


def sine(w, x, q):
    return [w.hi(q[0], w.sine(w.quadratic(x[0])))]


def henon(w, x, q):
    f = w.bits - 3
    square = w.mask(w.scaled(x[0], x[0], f))
    return [w.mask((1 << f) - w.scaled(q[0], square, f) + x[1]), w.mask(w.scaled(q[1], x[0], f))]


def plane(w, x, y, q):
    a, b = q
    return w.mask(x + a * y), w.mask(y + b * (x + a * y))


def cat(w, x, q):
    return list(plane(w, *x, q))


def cat3(w, x, q):
    x, y, z = x
    x, y = plane(w, x, y, q)
    y, z = plane(w, y, z, q)
    z, x = plane(w, z, x, q)
    return [x, y, z]


def baker(w, x, q):
    both = x[0] << w.bits | int(f"{x[1]:0{w.bits}b}"[::-1], 2)  # a rotation, y's bits in reverse
    both = (both << 1 | both >> (2 * w.bits - 1)) % (1 << 2 * w.bits)
    return [both >> w.bits, int(f"{both % w.m:0{w.bits}b}"[::-1], 2)]


def flow(w, x, rates, step):
    return [w.mask(value + (w.signed(w.mask(rate)) >> step)) for value, rate in zip(x, rates, strict=True)]


def lorenz(w, v, q):
    f, (x, y, z), (sigma, rho, beta) = w.bits - 7, v, q
    rates = (
        w.scaled(sigma, w.mask(y - x), f),
        w.scaled(rho, x, f) - w.scaled(x, z, f - 6) - y,
        w.scaled(x, y, f - 6) - w.scaled(beta, z, f),
    )
    return flow(w, v, rates, 8)


def chen(w, v, q):
    f, (x, y, z), (a, b, c) = w.bits - 7, v, q
    rates = (
        w.scaled(a, w.mask(y - x), f),
        w.scaled(w.mask(c - a), x, f) - w.scaled(x, z, f - 6) + w.scaled(c, y, f),
        w.scaled(x, y, f - 6) - w.scaled(b, z, f),
    )
    return flow(w, v, rates, 10)


def coupling(w, v, q):
    def coupled(x, y):
        u = w.hi(q[0], w.quadratic(x)) + w.hi(w.flipped(q[0]), w.sine(w.quadratic(y)))
        return w.sine(w.quadratic(u))

    x = coupled(*v)
    return [x, coupled(v[1], x)]


def lattice(w, ring, parameters):
    """One step of a whole ring, with a pair of parameters for each site."""
    f = [logistic(w, [x], q)[0] for x, q in zip(ring, parameters, strict=True)]
    n = len(ring)
    return [
        w.hi(w.flipped(q[1]), f[i]) + w.hi(q[1], (f[i - 1] + f[(i + 1) % n]) // 2)
        for i, q in enumerate(parameters)
    ]


def orbit(kind, bits, state, parameters, samples, every=1):
    """Lists of lanes in, lists of samples of lanes out: state[l][d], parameters[l][k]."""
    w, found = Words(bits), []
    for _ in range(samples):
        for _ in range(every):
            if kind == "lattice":
                state = [[x] for x in lattice(w, [lane[0] for lane in state], parameters)]
            else:
                state = [globals()[kind](w, x, q) for x, q in zip(state, parameters, strict=True)]
        found.append(state)
    return found
