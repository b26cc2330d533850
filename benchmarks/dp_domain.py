"""How wide and how slow are the accountant's bounds over its whole domain?

    python benchmarks/dp_domain.py [--count 300] [--seed 1] [--worst 20] [--only WORD]

A fixed random sample: every event the accountant takes, every parameter log-uniform over what issue 6 calls the
domain (delta in [1e-100, 0.5], up to 1e9 steps, noise multipliers in [0.2, 1000], sampling rates in [1e-8, 1]).
For each region it prints quantiles of the width, (hi - lo)/min(1, hi), and of the processor time of a fresh accountant,
and then the worst queries of all. Queries above epsilon = 1000 are counted apart: there any valid bound will do.
"""

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from medcrypt import dp

WIDTH, SECONDS, MOST = 1e-4, 1.0, 1000.0


@dataclass(frozen=True)
class Query:
    """A history, a delta, and the region of the domain that it belongs to."""

    region: str
    history: tuple[tuple[dp.Event, int], ...]
    delta: float


@dataclass(frozen=True)
class Answer:
    """What the accountant said, and how long it took."""

    query: Query
    low: float
    high: float
    seconds: float

    @property
    def width(self) -> float:
        """The distance of the bounds, relative below one."""
        return (self.high - self.low) / min(1.0, self.high) if self.high > 0.0 else 0.0

    @property
    def inside(self) -> bool:
        """Whether the query asks for an epsilon within the domain."""
        return not self.low >= MOST and not (math.isinf(self.high) and math.isinf(self.low))

    @property
    def good(self) -> bool:
        """Whether both goals are met."""
        return self.width <= WIDTH and self.seconds <= SECONDS


def sample(count: int, seed: int) -> Iterator[Query]:
    """Yield queries; each depends on the seed and its number only."""
    kinds = (_sampled, _sampled, _sampled, _tiny, _tiny, _noise, _points, _responses, _fixed_size, _mixture)
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        yield kinds[number % len(kinds)](rng)


def _log_uniform(rng: random.Random, least: float, most: float) -> float:
    return math.exp(rng.uniform(math.log(least), math.log(most)))


def _steps(rng: random.Random, most: float = 1e9) -> int:
    return round(_log_uniform(rng, 1.0, most))


def _delta(rng: random.Random) -> float:
    return _log_uniform(rng, 1e-100, 0.5)


def _sampled(rng: random.Random) -> Query:
    """Sampled Gaussians over the whole box."""
    sigma, q = _log_uniform(rng, 0.2, 1000.0), _log_uniform(rng, 1e-8, 1.0)
    return _one_sampled(sigma, q, _steps(rng), _delta(rng))


def _tiny(rng: random.Random) -> Query:
    """Sampled Gaussians where rare records meet little noise: the corner that integrals like least."""
    return _one_sampled(_log_uniform(rng, 0.2, 0.7), _log_uniform(rng, 1e-8, 1e-4), _steps(rng), _delta(rng))


def _one_sampled(sigma: float, q: float, steps: int, delta: float) -> Query:
    region = (
        "sampled, few steps"
        if steps <= 10
        else "sampled, q <= 1e-5 and sigma < 0.5"
        if q <= 1e-5 and sigma < 0.5
        else "sampled, q <= 1e-5"
        if q <= 1e-5
        else "sampled, sigma < 0.5"
        if sigma < 0.5
        else "sampled, elsewhere"
    )
    return Query(region, ((dp.PoissonSampled(q, dp.Gaussian(sigma)), steps),), delta)


def _noise(rng: random.Random) -> Query:
    """One continuous noise."""
    law = rng.choice((dp.Gaussian, dp.Laplace))
    return Query("Gaussian and Laplace", ((law(_log_uniform(rng, 0.2, 1000.0)), _steps(rng)),), _delta(rng))


def _points(rng: random.Random) -> Query:
    """One noise on integers."""
    scale = _log_uniform(rng, 0.2, 1000.0)
    law = rng.choice((dp.DiscreteGaussian, dp.DiscreteLaplace, dp.Skellam))
    event = law(max(scale, 0.3) ** 2 if law is dp.Skellam else scale)
    return Query(f"{law.__name__}", ((event, _steps(rng)),), _delta(rng))


def _responses(rng: random.Random) -> Query:
    """Different randomised responses, which lie on no lattice together."""
    events = [
        (dp.RandomizedResponse(rng.uniform(0.05, 0.95), rng.choice((2, 3, 10))), _steps(rng, 1e5)),
        (dp.PureDP(_log_uniform(rng, 1e-3, 2.0)), _steps(rng, 1e5)),
    ]
    return Query("different responses", tuple(events), _delta(rng))


def _fixed_size(rng: random.Random) -> Query:
    """Samples of a fixed size."""
    population = round(_log_uniform(rng, 10.0, 1e8))
    event = dp.SampledWithoutReplacement(
        round(_log_uniform(rng, 1.0, population / 2.0)),
        population,
        dp.Gaussian(_log_uniform(rng, 0.2, 1000.0)),
    )
    return Query("fixed size", ((event, _steps(rng)),), _delta(rng))


def _either(rng: random.Random) -> Callable[[], dp.Event]:
    """Return one of two mechanisms that no relation takes both."""
    if rng.random() < 0.3:
        return lambda: dp.RandomizedResponse(rng.uniform(0.1, 0.95), 4)
    return lambda: dp.PoissonSampled(_log_uniform(rng, 1e-8, 1.0), dp.Gaussian(_log_uniform(rng, 0.3, 100.0)))


def _mixture(rng: random.Random) -> Query:
    """Two to four different events."""
    makers: tuple[Callable[[], dp.Event], ...] = (
        lambda: dp.Gaussian(_log_uniform(rng, 0.5, 1000.0)),
        lambda: dp.Laplace(_log_uniform(rng, 0.5, 1000.0)),
        lambda: dp.Skellam(_log_uniform(rng, 1.0, 1e5)),
        lambda: dp.DiscreteGaussian(_log_uniform(rng, 1.0, 100.0)),
        lambda: dp.DiscreteLaplace(_log_uniform(rng, 1.0, 100.0)),
        _either(rng),
    )
    history = tuple((make(), _steps(rng, 1e5)) for make in rng.sample(makers, rng.randint(2, 4)))
    listed = dp.Skellam | dp.DiscreteGaussian | dp.DiscreteLaplace | dp.RandomizedResponse
    points = all(isinstance(event, listed) for event, _ in history)
    return Query("mixtures of points" if points else "mixtures", history, _delta(rng))


def _relation(query: Query) -> str:
    """Return a relation under which no event of the history is refused."""
    replaced = dp.RandomizedResponse | dp.SampledWithoutReplacement
    any_replaced = any(isinstance(event, replaced) for event, _ in query.history)
    return "replace_one" if any_replaced else "add_or_remove_one"


def ask(query: Query) -> Answer:
    """Ask a fresh accountant."""
    start = time.process_time()
    accountant = dp.Accountant(_relation(query))
    for event, count in query.history:
        accountant.compose(event, count)
    low, high = accountant.epsilon_bounds(query.delta)
    return Answer(query, low, high, time.process_time() - start)


def _quantiles(values: list[float]) -> str:
    ordered = sorted(values)
    return " ".join(f"{ordered[min(int(p * len(ordered)), len(ordered) - 1)]:8.1e}" for p in (0.5, 0.9, 1.0))


def report(answers: list[Answer], worst: int) -> None:
    """Print the table."""
    inside = [answer for answer in answers if answer.inside]
    print(
        f"{len(answers)} queries, {len(answers) - len(inside)} of them above epsilon = {MOST:g} or without one"
    )
    print(
        f"{'region':<36}{'count':>6}{'good':>6}   width: median, 90 %, worst      seconds: median, 90 %, worst"
    )
    for region in [*sorted({answer.query.region for answer in inside}), ""]:
        some = [answer for answer in inside if answer.query.region == region or not region]
        widths, seconds = [a.width for a in some], [a.seconds for a in some]
        print(
            f"{region or 'all':<36}{len(some):>6}{sum(a.good for a in some):>6}   "
            f"{_quantiles(widths)}      {_quantiles(seconds)}"
        )
    bad = sorted((a for a in inside if not a.good), key=lambda a: (-max(a.width, WIDTH), -a.seconds))
    for answer in bad[:worst]:
        print(f"{answer.width:8.1e} {answer.seconds:6.2f} s  [{answer.low:.9g}, {answer.high:.9g}]", end="  ")
        print(f"delta {answer.query.delta:.3g}", *(f"{event} x {n:,}" for event, n in answer.query.history))


def main() -> None:
    """Run the survey."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worst", type=int, default=20)
    parser.add_argument("--only", default="", help="part of a region's name")
    options = parser.parse_args()
    queries = [query for query in sample(options.count, options.seed) if options.only in query.region]
    report([ask(query) for query in queries], options.worst)


if __name__ == "__main__":
    main()
