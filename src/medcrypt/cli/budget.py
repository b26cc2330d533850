"""``medcrypt budget``: what training with noise costs in privacy, and what a budget allows: noise, steps, rate."""

from __future__ import annotations

import argparse
import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcrypt.cli.terminal import UsageError

if TYPE_CHECKING:
    from medcrypt.dp import Event

_FRACTIONS_OF_STEPS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_FACTORS_OF_DELTA = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3)
_TERMINAL = Path("-")
_FARTHEST_DRAW = 2.0**-100  # from its law, of whatever noise multiplier
_WIDTH = 60  # characters of the longest bar


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "budget",
        help="what training with noise costs in privacy",
        description="Compute the (epsilon, delta) that the Gaussian mechanism costs over many steps, each on a "
        "sample of the records (as in DP-SGD). With --target-epsilon, also what fits that budget: the least "
        "noise, the most steps, the highest sampling rate.",
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="SIGMA",
        help="standard deviation of the noise over the sensitivity: the clipping norm, or twice the norm with "
        "--neighbors replace_one",
    )
    parser.add_argument(
        "--rate",
        type=float,
        help="each record is in each step with this probability, independently (Poisson sampling; default 1: "
        "every record in every step)",
    )
    parser.add_argument(
        "--fixed-size",
        type=int,
        nargs=2,
        metavar=("SAMPLE", "RECORDS"),
        help="each step draws SAMPLE of RECORDS afresh, without replacement; needs --neighbors replace_one. There "
        "is no option for shuffled batches: no bound is proven for them",
    )
    parser.add_argument("--steps", type=int, required=True, help="number of steps")
    parser.add_argument("--delta", type=float, default=1e-5, help="delta (default 1e-5)")
    parser.add_argument(
        "--target-epsilon", type=float, metavar="EPSILON", help="find the noise for this budget"
    )
    parser.add_argument(
        "--neighbors",
        default="add_or_remove_one",
        help="which data sets count as neighbours (default add_or_remove_one)",
    )
    parser.add_argument(
        "--draws",
        type=int,
        metavar="N",
        help="integers of noise that a step draws: the number of the model's parameters. Tells what our samplers "
        "cost beside the exact noise of the other figures: a delta to add, and the generator's advantage",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--plot",
        type=Path,
        nargs="?",
        const=_TERMINAL,
        metavar="FILE",
        help="draw both curves: into FILE (.png, .svg, .pdf), or without it into the terminal",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing plot")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Budget:
    """The cost of one plan, and of the plans around it."""

    noise_multiplier: float
    sampling: str
    sampling_rate: float
    steps: int
    delta: float
    neighbors: str
    epsilon: float
    draws: int | None
    charge: float | None
    generator_advantage: float | None
    target_epsilon: float | None
    target_noise_multiplier: float | None
    target_steps: int | None
    target_sampling_rate: float | None
    over_steps: list[tuple[int, float]]
    over_delta: list[tuple[float, float]]


def run(args: argparse.Namespace) -> int:
    """Print the tables."""
    budget = _budget(args)
    print(json.dumps(asdict(budget)) if args.json else "\n".join(_table(budget, bars=args.plot == _TERMINAL)))
    if args.plot not in (None, _TERMINAL):
        _plot(budget, args.plot, overwrite=args.force)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what no budget can be computed for."""
    if args.noise is None and args.target_epsilon is None:
        raise UsageError("give --noise or --target-epsilon")
    if args.rate is not None and args.fixed_size is not None:
        raise UsageError("give --rate or --fixed-size, not both: they are different ways of sampling")
    if args.steps < 1:
        raise UsageError("--steps must be at least 1")
    if not 0 < args.delta < 1:
        raise UsageError("--delta must lie between 0 and 1")
    if args.draws is not None and args.draws < 0:
        raise UsageError("--draws must not be negative")
    if args.json and args.plot == _TERMINAL:
        raise UsageError("--json prints no picture: give --plot a FILE")


def _budget(args: argparse.Namespace) -> Budget:
    from medcrypt import dp

    _check(args)

    def step(noise: float) -> Event:
        gaussian = dp.Gaussian(noise)
        if args.fixed_size is not None:
            sample, records = args.fixed_size
            return dp.SampledWithoutReplacement(sample, records, gaussian)
        return gaussian if args.rate in (None, 1) else dp.PoissonSampled(args.rate, gaussian)

    target: dict[str, Any] = {
        "epsilon": args.target_epsilon,
        "delta": args.delta,
        "neighbors": args.neighbors,
    }
    needed = None if args.target_epsilon is None else dp.calibrate(step, count=args.steps, **target)
    noise: Any = needed if args.noise is None else args.noise
    fitting = None
    if args.target_epsilon is not None and args.noise is not None:
        fitting = dp.calibrate_count(step(noise), **target)

    def epsilon(steps: int, delta: float) -> float:
        return dp.Accountant(args.neighbors).compose(step(noise), steps).epsilon(delta)

    counts = sorted({max(1, round(args.steps * fraction)) for fraction in _FRACTIONS_OF_STEPS})
    deltas = [args.delta * factor for factor in _FACTORS_OF_DELTA if args.delta * factor < 1]
    event = step(noise)
    cost = epsilon(args.steps, args.delta)
    drawn = args.draws if args.draws is None else args.steps * args.draws
    return Budget(
        noise_multiplier=noise,
        sampling=_SAMPLING[type(event).__name__],
        sampling_rate=getattr(event, "sampling_rate", 1.0),
        steps=args.steps,
        delta=args.delta,
        neighbors=args.neighbors,
        epsilon=cost,
        draws=drawn,
        charge=None if drawn is None else dp.noise.charge(cost, drawn, _FARTHEST_DRAW),
        generator_advantage=None if drawn is None else dp.noise.generator_advantage(drawn),
        target_epsilon=args.target_epsilon,
        target_noise_multiplier=needed,
        target_steps=fitting,
        target_sampling_rate=_fitting_rate(args, noise, target) if fitting is not None else None,
        over_steps=[(count, epsilon(count, args.delta)) for count in counts],
        over_delta=[(delta, epsilon(args.steps, delta)) for delta in deltas],
    )


_SAMPLING = {
    "Gaussian": "every record in every step",
    "PoissonSampled": "Poisson samples",
    "SampledWithoutReplacement": "samples of fixed size",
}


def _fitting_rate(args: argparse.Namespace, noise: float, target: dict[str, Any]) -> float | None:
    """Return the highest rate of Poisson sampling within the target, or None where there is nothing to find."""
    from medcrypt import dp

    if args.rate in (None, 1):
        return None
    try:
        return dp.calibrate(
            lambda rate: dp.PoissonSampled(rate, dp.Gaussian(noise)),
            count=args.steps,
            bracket=(1e-3 * args.rate, min(1e3 * args.rate, 1.0)),
            **target,
        )
    except ValueError:  # not crossed between a thousandth and a thousand times the rate
        return None


def _table(budget: Budget, *, bars: bool) -> list[str]:
    rate, neighbors = budget.sampling_rate, budget.neighbors.replace("_", " ")
    lines = [
        f"Gaussian noise {budget.noise_multiplier:.6g}, {budget.steps} steps, {budget.sampling}"
        + (f" at rate {rate:g}" if budget.sampling != _SAMPLING["Gaussian"] else ""),
        f"Neighbours: {neighbors}",
        f"epsilon = {budget.epsilon:.4f} at delta = {budget.delta:g}",
    ]
    if budget.draws is not None:
        lines.append(
            f"{budget.draws} draws: at most {budget.charge:.1g} to add to delta, "
            f"generator's advantage at most {budget.generator_advantage:.1g}"
        )
    if budget.target_epsilon is not None:
        goal = f"for epsilon {budget.target_epsilon:g}:"
        lines.append(f"noise {goal} {budget.target_noise_multiplier:.6f}")
        if budget.target_steps is not None:
            lines.append(f"steps {goal} {budget.target_steps}")
        if budget.target_sampling_rate is not None:
            lines.append(f"rate {goal} {budget.target_sampling_rate:.6g}")
    steps = [(f"{count:>10}", epsilon) for count, epsilon in budget.over_steps]
    deltas = [(f"{delta:>10.0e}", epsilon) for delta, epsilon in budget.over_delta]
    lines += ["", f"{'steps':>10}  {'epsilon':>10}", *_rows(steps, bars=bars)]
    return [*lines, "", f"{'delta':>10}  {'epsilon':>10}", *_rows(deltas, bars=bars)]


def _rows(rows: list[tuple[str, float]], *, bars: bool) -> list[str]:
    """Return the lines of a table; with bars, whose lengths show the curve."""
    finite = [epsilon for _, epsilon in rows if math.isfinite(epsilon)]
    top = max(finite, default=0.0)
    lines = []
    for label, epsilon in rows:
        share = min(epsilon / top, 1.0) if top > 0.0 else 0.0
        bar = "  " + "\N{FULL BLOCK}" * round(_WIDTH * share) if bars else ""
        lines.append(f"{label}  {epsilon:>10.4f}{bar}".rstrip())
    return lines


def _plot(budget: Budget, path: Path, *, overwrite: bool) -> None:
    from medcrypt.cli.streams import replaceable
    from medcrypt.durable import new_file

    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'medcrypt[plot]'") from None
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    over_steps, over_delta = figure.subplots(1, 2, sharey=True)
    over_steps.plot(*zip(*budget.over_steps, strict=True), marker="o")
    over_steps.set(xlabel="steps", ylabel="epsilon", title=f"delta = {budget.delta:g}")
    over_delta.semilogx(*zip(*budget.over_delta, strict=True), marker="o")
    over_delta.set(xlabel="delta", title=f"{budget.steps} steps")
    for axes in (over_steps, over_delta):
        axes.grid(visible=True, alpha=0.3)
    figure.suptitle(
        f"Gaussian noise {budget.noise_multiplier:.4g}, {budget.sampling}, rate {budget.sampling_rate:g}"
    )
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.lstrip(".") or "png", dpi=150)
    with new_file(replaceable(path), overwrite=overwrite) as file:
        file.write(picture.getvalue())
