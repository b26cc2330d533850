/*
 * The Poisson-sampled Gaussian as a table of losses: composite Gauss-Legendre quadrature with a bound.
 *
 *     M(z) = integral over low <= x <= high of phi(x) r(x)^s dx,   r(x) = 1 - q + q e^((2x - 1)/(2 sigma^2)),
 *
 * with s = 1 + z for removing a record and s = -z for adding one; a = Re s. Where a record is likely, p(x) =
 * q e^y/r(x) is near one; (log r)' = p/sigma^2.
 */
#include "dp.h"

#include <math.h>
#include <stdlib.h>

#define U 0x1p-53
#define HALF_LOG_TAU 0.91893853320467274178 /* log sqrt(2 pi) */

/* Positive half of the points and weights on (-1, 1), correctly rounded. */
static const double points[DP_POINTS / 2] = {
    0x1.8bbc8488cc499p-5, 0x1.27e0ea717f237p-3, 0x1.ea0f7e19c094bp-3, 0x1.53d55ce57bdf6p-2,
    0x1.af76b57c6f8f1p-2, 0x1.038862866b29dp-1, 0x1.2ce9146962ca4p-1, 0x1.537a89c487f8ap-1,
    0x1.76e0931d693bap-1, 0x1.96c69481c4bc5p-1, 0x1.b2e04fd686a13p-1, 0x1.caea9b4574cb9p-1,
    0x1.deac0259f7f42p-1, 0x1.edf5518053baap-1, 0x1.f8a212714bcdcp-1, 0x1.fe995e70409b6p-1};
static const double shares[DP_POINTS / 2] = {
    0x1.8b6d9eaec77adp-4, 0x1.87bc776f8c6d7p-4, 0x1.8062fc0f6fef9p-4, 0x1.7572bdb3f6e51p-4,
    0x1.6705e18e13ed1p-4, 0x1.553ee25ebebc6p-4, 0x1.40483e126fd14p-4, 0x1.2854103b35e0cp-4,
    0x1.0d9b9a62cac10p-4, 0x1.e0bd76c924981p-5, 0x1.a1c6ae961fbfap-5, 0x1.5ee963a335495p-5,
    0x1.18c5800a355d9p-5, 0x1.a0060a8531ffap-6, 0x1.0aa3c248696c9p-6, 0x1.cbf8bc743cc5cp-8};

struct ratio {
    double log; /* log r */
    double p;
    double error; /* absolute, of log r, in units of u */
};

static struct ratio ratio_at(const struct dp_sampled *m, double x) {
    double y = (2.0 * x - 1.0) / (2.0 * m->sigma * m->sigma), log_q = m->log_q;
    struct ratio at;
    if (y + log_q > 30.0) {
        double rest = (1.0 - m->q) / m->q * exp(-y);
        at.log = y + log_q + log1p(rest);
        at.p = 1.0 / (1.0 + rest);
        at.error = 4.0 * fabs(y) + 8.0 * fabs(log_q) + 4.0 * fabs(at.log);
        return at;
    }
    double excess = m->q * expm1(y), share = m->q * exp(y);
    if (excess > -0.5) {
        double r = 1.0 + excess;
        at.log = log1p(excess);
        at.p = share / r;
        at.error = 4.0 * fabs(y) * at.p + 10.0 * fabs(excess) / r + 9.0 * fabs(at.log);
    } else {
        double r = (1.0 - m->q) + share;
        at.log = log(r);
        at.p = share / r;
        at.error = 4.0 * fabs(y) * at.p + 12.0 + 9.0 * fabs(at.log);
    }
    return at;
}

static double power(const struct dp_sampled *m) { return m->removing ? 1.0 + m->c : -m->c; }

/* Greatest value of -x^2/(2 sigma^2) + level + slope x on [left, right]. */
static double highest(double sigma, double level, double slope, double left, double right) {
    double x = slope * sigma * sigma;
    x = x < left ? left : x > right ? right : x;
    return level + slope * x - 0.5 * (x / sigma) * (x / sigma);
}

/*
 * Log of a bound on |phi(x + iy) r(x + iy)^s| for left <= x <= right, |y| <= theta sigma^2, |Im s| <= t.
 * |phi(x + iy)| = phi(x) e^(y^2/(2 sigma^2)). With theta <= pi/2: arg r grows with x and y; |r(x + iy)| is at
 * most r(x) and at least r(x) sqrt(1 - 4 p (1 - p) sin^2(theta/2)). a log r(x) lies below its chord if a >= 0,
 * below its tangent if not. The bound is one on |phi(x + iy)| as well: tables sum phi (r^a - 1).
 */
static double log_modulus(const struct dp_sampled *m, double left, double right, double theta, double t) {
    double a = power(m), sigma = m->sigma;
    struct ratio at_left = ratio_at(m, left), at_right = ratio_at(m, right);
    double growth = 0.5 * theta * theta * sigma * sigma - log(sigma) - HALF_LOG_TAU, bound = growth;
    /* Of phi alone. */
    double bare = growth + highest(sigma, 0.0, 0.0, left, right);
    double odds = at_right.p < 1.0 ? at_right.p / (1.0 - at_right.p) : HUGE_VAL;
    bound += t * (odds > 1e15 ? theta : atan2(odds * sin(theta), 1.0 + odds * cos(theta)));
    if (a >= 0.0) {
        double slope = a * (at_right.log - at_left.log) / (right - left);
        return fmax(bare, bound + highest(sigma, a * at_left.log - slope * left, slope, left, right));
    }
    double middle = 0.5 * (left + right);
    struct ratio at = ratio_at(m, middle);
    double slope = a * at.p / (sigma * sigma), spread = 0.25;
    if (at_right.p < 0.5) spread = at_right.p * (1.0 - at_right.p);
    if (at_left.p > 0.5) spread = at_left.p * (1.0 - at_left.p);
    double half_sine = sin(0.5 * theta);
    bound += 0.5 * a * log1p(-4.0 * spread * half_sine * half_sine);
    return fmax(bare, bound + highest(sigma, a * at.log - slope * middle, slope, left, right));
}

/*
 * Log of the error of the 32 points on [left, right]: at most 64/15 B rho^-62/(1 - rho^-2) times half the
 * width, B a bound in the ellipse of foci +-1 and half-axes (rho +- 1/rho)/2 (Trefethen 2013, Theorem 19.3).
 * One unit of log covers the rounding of this bound. Any rho is valid; the first that suffices will do.
 * Points may lie on Im x = lift sigma^2 instead of the real axis: then only ellipses above that axis will do,
 * where |r^(it)| <= 1 for every t >= 0.
 */
static double log_panel(const struct dp_sampled *m, double left, double right, double lift, double t,
                        double enough, size_t *radius) {
    static const double radii[] = {1.35, 1.6, 2.0, 2.5, 3.0, 4.0, 6.0};
    static const double logs[] = {0.3001045924503381, 0.4700036292457356, 0.6931471805599453,
                                  0.9162907318741551, 1.0986122886681098, 1.3862943611198906,
                                  1.791759469228055};
    const size_t count = sizeof radii / sizeof radii[0];
    double half = 0.5 * (right - left), middle = 0.5 * (left + right), best = HUGE_VAL;
    /* From the radius that served the last panel outwards. */
    for (size_t k = 0; k < 5 && best > enough; k++) {
        size_t away = (k + 1) / 2, index = k % 2 ? *radius + away : *radius - away;
        if (index >= count) continue;
        double rho = radii[index];
        double along = 0.5 * (rho + 1.0 / rho) * half, theta = 0.5 * (rho - 1.0 / rho) * half;
        theta /= m->sigma * m->sigma;
        if (lift > 0.0 && theta > lift) continue;
        theta += lift;
        if (theta > 1.57) continue;
        double bound = 1.0 + log(64.0 / 15.0 * half / (1.0 - 1.0 / (rho * rho))) - 62.0 * logs[index];
        bound += log_modulus(m, middle - along, middle + along, theta, lift > 0.0 ? 0.0 : t);
        if (bound < best) {
            best = bound;
            if (best <= enough) *radius = index;
        }
    }
    return best;
}

size_t dp_panels(const struct dp_sampled *mechanism, double lift, double t_max, double log_target, double *ends,
                 size_t room, double *log_quadrature) {
    double width = 3.0 * mechanism->sigma, sum = 0.0;
    double largest = 1.57 * mechanism->sigma * mechanism->sigma * 4.0;
    size_t panels = 0, radius = 3;
    if (width > largest) width = largest;
    ends[0] = mechanism->low;
    while (ends[panels] < mechanism->high) {
        double left = ends[panels], right, error;
        if (panels + 1 >= room) return 0;
        for (;;) {
            right = left + width;
            if (right > mechanism->high) right = mechanism->high;
            error = log_panel(mechanism, left, right, lift, t_max, log_target, &radius);
            if (error <= log_target) break;
            width = 0.8 * (right - left);
            if (!(width > 1e-9 * mechanism->sigma)) return 0;
        }
        sum += exp(error - log_target);
        ends[++panels] = right;
        width *= 1.25;
    }
    *log_quadrature = log_target + log(sum);
    return panels;
}

/* Sum with a second float for what was rounded off: relative to the sum of moduli the error is 2 u. */
struct sum {
    double value, lost;
};

static void add(struct sum *sum, double x) {
    double next = sum->value + x;
    sum->lost += fabs(sum->value) >= fabs(x) ? (sum->value - next) + x : (x - next) + sum->value;
    sum->value = next;
}

static double of(const struct sum *sum) { return sum->value + sum->lost; }

int dp_table(const struct dp_sampled *mechanism, const double *ends, size_t panels, double *losses,
             double *weights, struct dp_worth *worth) {
    const struct dp_sampled *m = mechanism;
    const double a = power(m), variance = m->sigma * m->sigma, scale = 1.0 / (m->sigma * exp(HALF_LOG_TAU));
    const size_t size = panels * DP_POINTS;
    struct ratio *ratios = malloc(size * sizeof *ratios);
    if (ratios == NULL) return -1;
    double peak = -HUGE_VAL;
    for (size_t j = 0; j < size; j++) {
        double left = ends[j / DP_POINTS], right = ends[j / DP_POINTS + 1];
        size_t k = j % DP_POINTS;
        double point = k < DP_POINTS / 2 ? -points[DP_POINTS / 2 - 1 - k] : points[k - DP_POINTS / 2];
        double x = 0.5 * (left + right) + 0.5 * (right - left) * point;
        struct ratio at = ratios[j] = ratio_at(m, x);
        losses[j] = x;
        weights[j] = a * at.log - 0.5 * x * x / variance;
        if (weights[j] > peak) peak = weights[j];
    }
    const double lift = peak > 300.0 ? peak : 0.0; /* weights are divided by e^lift */
    struct sum lifted = {0}, grown = {0};
    double weight_error = 0.0, weighted_error = 0.0, loss_error = 0.0, modulus = 0.0, moment_error = 0.0;
    for (size_t j = 0; j < size; j++) {
        double left = ends[j / DP_POINTS], right = ends[j / DP_POINTS + 1], x = losses[j];
        size_t k = j % DP_POINTS;
        double share = k < DP_POINTS / 2 ? shares[DP_POINTS / 2 - 1 - k] : shares[k - DP_POINTS / 2];
        double factor = 0.5 * (right - left) * share * scale, square = 0.5 * x * x / variance;
        double displaced = 4.0 * fmax(fabs(left), fabs(right)) / variance; /* of the node, over variance */
        struct ratio at = ratios[j];
        double alpha = a * at.log, exponent = weights[j];
        double bare = factor * exp(-square);
        double full = factor * exp(exponent - lift);
        double lambda = at.error + displaced * at.p;
        double of_power = fabs(a) * lambda + fabs(alpha);
        double of_density = 3.0 * square + displaced * fabs(x) + 36.0; /* exp 8, scale 12, widths and products */
        double eta = of_power + of_density + fabs(exponent) + fabs(exponent - lift);
        double rise = alpha > 1.0 ? full - bare : bare * expm1(alpha);
        add(&lifted, full);
        if (lift == 0.0) add(&grown, rise);
        moment_error += fabs(rise) * (of_density + 4.0) + full * of_power;
        if (alpha > 1.0) moment_error += full * (fabs(exponent) + 12.0);
        losses[j] = m->removing ? at.log : -at.log;
        weights[j] = full;
        weight_error += full * eta;
        weighted_error += full * eta * fabs(at.log);
        loss_error += full * lambda;
        modulus += full * fabs(at.log);
    }
    free(ratios);
    const double mass = of(&lifted), inverse = 1.0 / mass;
    for (size_t j = 0; j < size; j++) weights[j] *= inverse;
    worth->mean_modulus = modulus * inverse;
    worth->weight_error = weight_error * inverse;
    worth->weighted_error = weighted_error * inverse;
    worth->loss_error = loss_error * inverse;
    if (lift == 0.0) {
        worth->log_moment = log1p(of(&grown));
        worth->moment_error = U * (1.01 * moment_error * inverse + 9.0 * fabs(worth->log_moment));
    } else {
        worth->log_moment = lift + log(mass);
        worth->moment_error = U * (1.01 * worth->weight_error + 20.0 + 9.0 * fabs(worth->log_moment));
    }
    return 0;
}

enum { CELLS = 320 };

/*
 * The density of the loss is f = phi r^a sigma^2/p, rising and falling at most twice, so that its part above
 * any x0 has a variation of at most V sup f, V = 4, and |integral of f e^(itl) dl| <= V sup f/t. With the mass
 * m above x0 that part alone is a law with |psi(s)| <= y = V sup f/(m s), and every law has
 * 1 - |psi(s)|^2 >= 4^-k (1 - |psi(2^k s)|^2). So for all s >= t
 *
 *     |M(c + is)| <= M(c) - m (1 - sqrt(1 - max over k of 4^-k (1 - y^2/4^k))),   y at s = t.
 *
 * Extrema on a cell are bounded by the monotone factors at its ends.
 */
void dp_decay(const struct dp_sampled *mechanism, double log_moment, const double *t, size_t size,
              double *log_bound) {
    const struct dp_sampled *m = mechanism;
    const double a = power(m), variance = m->sigma * m->sigma;
    /* (log f)' = ((a + 1) p - (1 + x))/sigma^2 has one zero if a + 1 <= 0 or p rises slower than the line. */
    const double variation = a + 1.0 <= 4.0 * variance ? 2.0 : 4.0;
    const double width = (m->high - m->low) / CELLS;
    double mass[CELLS], highest_f[CELLS], above = 0.0, top = 0.0;
    struct ratio right = ratio_at(m, m->high);
    for (size_t i = CELLS; i-- > 0;) {
        double x = m->low + width * (double)i, end = x + width;
        struct ratio left = ratio_at(m, x);
        double near = x > 0.0 ? x : end < 0.0 ? end : 0.0, far = fmax(fabs(x), fabs(end));
        double lowest = fmin(a * left.log, a * right.log), highest = fmax(a * left.log, a * right.log);
        double f = exp(highest - 0.5 * near * near / variance - log_moment) * variance / left.p;
        above += width * exp(lowest - 0.5 * far * far / variance - log_moment);
        if (f > top || isnan(f)) top = f;
        mass[i] = above;
        highest_f[i] = top;
        right = left;
    }
    const double scale = 1.0 / (m->sigma * exp(HALF_LOG_TAU));
    for (size_t k = 0; k < size; k++) {
        double most = 0.0;
        for (size_t i = 0; i < CELLS; i++) {
            double part = fmin(mass[i] * scale, 1.0), y = variation * highest_f[i] / (mass[i] * t[k]) * (1.0 + 1e-9);
            if (!(part > most) || !(y < 1e12)) continue;
            /* u - y^2 u^2 with u = 4^-k is largest near u = 1/(2 y^2). */
            double u = 1.0;
            while (u * y * y > 1.0) u *= 0.25;
            double gain = fmax(u - y * y * u * u, 0.25 * u - y * y * u * u / 16.0);
            double deficit = part * gain / (1.0 + sqrt(1.0 - gain));
            if (deficit > most) most = deficit;
        }
        log_bound[k] = log1p(-most * (1.0 - 1e-9));
    }
}
