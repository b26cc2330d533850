# cython: language_level=3, embedsignature=True, embedsignature.format=python
# cython: boundscheck=False, wraparound=False
"""Tables of losses, walks along vertical lines, and sums over them: buffers in, buffers out."""

from medcrypt._ext.cpu.detect import path as path_in_use

__all__ = [
    "LANES", "POINTS", "STRIP", "decay", "exponentials", "line", "panels", "polar", "products", "table",
    "turns", "walk", "weigh",
]

cdef extern from "dp.h":
    enum:
        DP_LANES
        DP_POINTS
        DP_STRIP

    ctypedef struct kernel_table "struct dp_kernels":
        void (*exponentials)(const double *x, double *out, size_t n) nogil
        void (*turns)(const double *x, double *versine, double *sine, size_t n) nogil
        void (*walk)(const double *losses, const double *weights, size_t size, double step, size_t first,
                     size_t count, double *real, double *imaginary) nogil
        void (*line)(const double *amplitude, const double *phase, const double *t, size_t size,
                     double epsilon, double *sums) nogil
        void (*products)(const double *rows_real, const double *rows_imaginary, const double *columns_real,
                         const double *columns_imaginary, size_t rows, size_t size, size_t columns,
                         double *real, double *imaginary) nogil

    ctypedef struct sampled_mechanism "struct dp_sampled":
        double sigma, q, log_q, c
        int removing
        double low, high

    ctypedef struct table_worth "struct dp_worth":
        double log_moment, moment_error, log_quadrature, mean_modulus, weight_error, weighted_error
        double loss_error

    const kernel_table *dp_kernels_of(const char *path) nogil
    size_t dp_panels(const sampled_mechanism *mechanism, double lift, double t_max, double log_target,
                     double *ends, size_t room, double *log_quadrature) nogil
    int dp_table(const sampled_mechanism *mechanism, const double *ends, size_t panels, double *losses,
                 double *weights, table_worth *worth) nogil
    void dp_decay(const sampled_mechanism *mechanism, double log_moment, const double *t, size_t size,
                  double *log_bound) nogil

cdef extern from "<math.h>" nogil:
    double atan2(double y, double x)
    double exp(double x)
    double fabs(double x)
    double fmax(double x, double y)
    double fmin(double x, double y)
    double log(double x)
    double log1p(double x)
    double NAN

LANES = DP_LANES
POINTS = DP_POINTS
STRIP = DP_STRIP

cdef double U = 2.0 ** -53
cdef double FURTHEST = 2.0 ** 40


cdef const kernel_table *_kernels(object path) except NULL:
    """The loops of a path, by default of the one in use."""
    cdef bytes name = (path_in_use() if path is None else path).encode()
    return dp_kernels_of(name)


def _same_size(*arrays):
    """Refuse arrays of different lengths: the kernels trust them."""
    sizes = {len(array) for array in arrays}
    if len(sizes) != 1:
        raise ValueError(f"arrays of different lengths: {sorted(sizes)}")


def exponentials(const double[::1] x, double[::1] out, path=None):
    """Write e^x into ``out``: relative error at most 4 u for abs(x) <= 700; 0 below -700."""
    _same_size(x, out)
    if x.shape[0]:
        _kernels(path).exponentials(&x[0], &out[0], x.shape[0])


def turns(const double[::1] x, double[::1] versine, double[::1] sine, path=None):
    """Write cos x - 1 and sin x: error at most 4 u abs(e^ix - 1) + 2 u abs(x), for abs(x) <= 2^20."""
    _same_size(x, versine, sine)
    if x.shape[0]:
        _kernels(path).turns(&x[0], &versine[0], &sine[0], x.shape[0])


def walk(const double[::1] losses, const double[::1] weights, double step, size_t first, double[::1] real,
         double[::1] imaginary, path=None):
    """Write sum_j weights_j (e^(i n step losses_j) - 1) for n = first, first + 1, ... into two arrays.

    The tables are padded with weights of zero to a multiple of `LANES`. Angles beyond 2^40 are an
    OverflowError.
    """
    _same_size(losses, weights)
    _same_size(real, imaginary)
    if losses.shape[0] == 0 or losses.shape[0] % DP_LANES:
        raise ValueError("a table's length is a multiple of LANES")
    cdef const kernel_table *kernels = _kernels(path)
    cdef size_t size = losses.shape[0], count = real.shape[0]
    cdef double widest = 0.0
    cdef size_t j
    for j in range(size):
        if not fabs(losses[j]) <= widest:
            widest = fabs(losses[j])
    if not widest * fabs(step) * <double>(first + count) <= FURTHEST:
        raise OverflowError("angles beyond 2^40")
    if count:
        with nogil:
            kernels.walk(&losses[0], &weights[0], size, step, first, count, &real[0], &imaginary[0])


def line(const double[::1] amplitude, const double[::1] phase, const double[::1] t, double epsilon,
         path=None):
    """Return sum a cos(p - t epsilon) and sum a t sin(p - t epsilon); arrays padded to `LANES` by zeros.

    Not a number if an angle is beyond 2^40, where nothing is proven of `turns`.
    """
    _same_size(amplitude, phase, t)
    if t.shape[0] % DP_LANES:
        raise ValueError("an array's length is a multiple of LANES")
    cdef double sums[2]
    cdef double furthest = 0.0, angle
    cdef Py_ssize_t n
    sums[0] = sums[1] = 0.0
    for n in range(t.shape[0]):
        angle = fabs(phase[n]) + fabs(t[n] * epsilon)
        if not angle <= furthest:
            furthest = angle
    if not furthest <= FURTHEST:
        return NAN, NAN
    if t.shape[0]:
        _kernels(path).line(&amplitude[0], &phase[0], &t[0], t.shape[0], epsilon, sums)
    return sums[0], sums[1]


def products(const double[:, ::1] rows_real, const double[:, ::1] rows_imaginary,
             const double[:, ::1] columns_real, const double[:, ::1] columns_imaginary, double[:, ::1] real,
             double[:, ::1] imaginary, path=None):
    """Add the product of two complex matrices to a third, on real and imaginary parts.

    The columns' number is a multiple of `STRIP`. With m products in a sum its error is at most (2 m + 4) u
    times the sum of moduli, in either part.
    """
    cdef size_t count = rows_real.shape[0], size = rows_real.shape[1], width = columns_real.shape[1]
    if (rows_imaginary.shape[0] != rows_real.shape[0] or rows_imaginary.shape[1] != rows_real.shape[1]
            or columns_real.shape[0] != rows_real.shape[1] or columns_imaginary.shape[0] != rows_real.shape[1]
            or columns_imaginary.shape[1] != columns_real.shape[1]
            or real.shape[0] != rows_real.shape[0] or real.shape[1] != columns_real.shape[1]
            or imaginary.shape[0] != rows_real.shape[0] or imaginary.shape[1] != columns_real.shape[1]):
        raise ValueError("matrices that do not fit together")
    if width % DP_STRIP:
        raise ValueError("the number of columns is a multiple of STRIP")
    if count == 0 or size == 0 or width == 0:
        return
    cdef const kernel_table *kernels = _kernels(path)
    with nogil:
        kernels.products(&rows_real[0, 0], &rows_imaginary[0, 0], &columns_real[0, 0],
                         &columns_imaginary[0, 0], count, size, width, &real[0, 0], &imaginary[0, 0])


cdef sampled_mechanism _mechanism(double sigma, double q, bint removing, double c, double low, double high):
    cdef sampled_mechanism m
    m.sigma, m.q, m.log_q, m.removing, m.c, m.low, m.high = sigma, q, log(q), removing, c, low, high
    return m


def panels(double sigma, double q, bint removing, double c, double low, double high, double t_max,
           double log_target, double[::1] ends, double lift=0.0):
    """Write the ends of quadrature panels, return their number and the log of the whole quadrature error.

    With ``lift`` in (0, pi/2) the points are to lie on Im x = lift sigma^2, and serve for every t >= 0. The
    number is 0 if ``ends`` has no room for panels whose errors are below exp(log_target) each.
    """
    cdef sampled_mechanism m = _mechanism(sigma, q, removing, c, low, high)
    cdef double log_quadrature = 0.0
    if ends.shape[0] < 2:
        raise ValueError("room for at least one panel is needed")
    cdef size_t count = dp_panels(&m, lift, t_max, log_target, &ends[0], ends.shape[0], &log_quadrature)
    return count, log_quadrature


def table(double sigma, double q, bint removing, double c, const double[::1] ends, double[::1] losses,
          double[::1] weights):
    """Fill a table of losses; return log M, its error, and A1, R0, R1, L1 in units of 2^-53."""
    _same_size(losses, weights)
    if ends.shape[0] < 2 or losses.shape[0] != (ends.shape[0] - 1) * DP_POINTS:
        raise ValueError("a table has POINTS rows for each panel")
    cdef sampled_mechanism m = _mechanism(sigma, q, removing, c, ends[0], ends[ends.shape[0] - 1])
    cdef table_worth w
    cdef int failed
    with nogil:
        failed = dp_table(&m, &ends[0], ends.shape[0] - 1, &losses[0], &weights[0], &w)
    if failed:
        raise MemoryError
    return w.log_moment, w.moment_error, w.mean_modulus, w.weight_error, w.weighted_error, w.loss_error


def decay(double sigma, double q, bint removing, double c, double low, double high, double log_moment,
          const double[::1] t, double[::1] log_bound):
    """Write bounds on log(abs M(c + i s)/M(c)) that hold for all s >= t."""
    cdef sampled_mechanism m = _mechanism(sigma, q, removing, c, low, high)
    _same_size(t, log_bound)
    if t.shape[0]:
        with nogil:
            dp_decay(&m, log_moment, &t[0], t.shape[0], &log_bound[0])


def polar(const double[::1] real, const double[::1] imaginary, const double[::1] error,
          double[::1] modulus, double[::1] argument, double[::1] blur, double[::1] rounding):
    """Write log(1 + D) of one mechanism on the nodes, in parts, with what its errors do.

    ``modulus`` and ``argument`` are log abs(1 + D) and arg(1 + D); ``blur`` bounds log((abs(1 + D) + d)/abs(1
    + D)) for an error d of D; ``rounding`` bounds the rounding of the former two, in units of 2^-53.
    """
    cdef Py_ssize_t n
    cdef double a, b, square, one, angle
    _same_size(real, imaginary, error, modulus, argument, blur, rounding)
    with nogil:
        for n in range(real.shape[0]):
            a = real[n]
            b = imaginary[n]
            square = 2.0 * a + (a * a + b * b)
            if square > -0.75:
                one = 0.5 * log1p(square)
                rounding[n] = 4.0 * (fabs(a) + a * a + b * b) / (1.0 + square)
            else:
                square = (1.0 + a) * (1.0 + a) + b * b
                # Zeros of M are lifted to 1e-150; ``blur`` knows.
                one = 0.5 * log(square) if square > 1e-300 else -345.0
                rounding[n] = 12.0
            angle = atan2(b, 1.0 + a)
            modulus[n] = one
            argument[n] = angle
            blur[n] = log1p(error[n] * exp(-one)) * (1.0 + 1e-12)
            rounding[n] += 9.0 * fabs(one) + 12.0 * fabs(angle)


def weigh(const double[:, :, ::1] logarithms, const double[::1] counts, double squared_mu, double c,
          const double[:, ::1] nodes, double[:, ::1] weights):
    """Turn log(1 + D) of every mechanism into amplitudes and phases of the integrand.

    ``logarithms[0..3]`` hold modulus, argument, blur and rounding of `polar`, row e those of mechanism e,
    which runs counts[e] times; a Gaussian of ``squared_mu`` runs once. ``nodes[0..2]`` hold t, and log
    modulus and argument of the kernel 1/(z (z + 1)), halved at t = 0. With W = exp(K(z) - K(c)) times the
    kernel, abs W goes to ``weights[0]`` and arg W to ``weights[1]``; the other two rows are scratch.

    Returns four sums over the nodes: amplitudes; amplitude times t; amplitude times the modulus of the phase;
    and an upper bound on the error of W by the errors of D and by the rounding of the logarithms.
    """
    cdef Py_ssize_t n, e, size = nodes.shape[1], kinds = counts.shape[0]
    cdef double m, argument_n, blurred, rounded
    cdef double total = 0.0, moment = 0.0, turned = 0.0, wrong = 0.0
    cdef const double *t
    cdef double *amplitude
    cdef double *phase
    cdef double *bound
    cdef double *harm
    if nodes.shape[0] != 3 or weights.shape[0] != 4 or weights.shape[1] != size:
        raise ValueError("three rows of nodes and four of weights, of one length")
    if kinds and (logarithms.shape[0] != 4 or logarithms.shape[1] != kinds or logarithms.shape[2] != size):
        raise ValueError("four logarithms for each mechanism and node")
    if size == 0:
        return 0.0, 0.0, 0.0, 0.0
    t = &nodes[0, 0]
    amplitude, phase, bound, harm = &weights[0, 0], &weights[1, 0], &weights[2, 0], &weights[3, 0]
    cdef const kernel_table *kernels = _kernels(None)
    with nogil:
        for n in range(size):
            m = -0.5 * squared_mu * t[n] * t[n]
            argument_n = squared_mu * (c + 0.5) * t[n]
            # mu^2 t^2 and its argument carry nine units each. The kernel's logarithm is half a sum of two,
            # each to eight units: they add up to its modulus, or the positive one is below log 5.
            rounded = 12.0 * (fabs(m) + fabs(argument_n)) + 8.0 * fabs(nodes[1, n]) + 60.0
            blurred = 0.0
            for e in range(kinds):
                m += counts[e] * logarithms[0, e, n]
                argument_n += counts[e] * logarithms[1, e, n]
                blurred += counts[e] * logarithms[2, e, n]
                rounded += counts[e] * logarithms[3, e, n]
            rounded += (4.0 + kinds) * (fabs(m) + fabs(argument_n))
            amplitude[n] = fmax(m + nodes[1, n], -690.0)
            # The error is at most U - A = U (1 - e^-blurred) with U = A e^blurred, besides rounding.
            bound[n] = fmin(fmax(m + nodes[1, n] + blurred, -690.0), 690.0)
            harm[n] = fmin(blurred, 1.0) + 1.01 * U * rounded
            phase[n] = argument_n + nodes[2, n]
        kernels.exponentials(amplitude, amplitude, size)
        kernels.exponentials(bound, bound, size)
        for n in range(size):
            total += amplitude[n]
            moment += amplitude[n] * t[n]
            turned += amplitude[n] * fabs(phase[n])
            # An amplitude below e^-690 was lifted to it.
            wrong += 1.001 * bound[n] * harm[n] + 2e-299
    return total, moment, turned, wrong
