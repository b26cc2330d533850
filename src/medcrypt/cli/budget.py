"""``medcrypt budget``: what training with noise costs in privacy, or how much noise a budget needs."""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcrypt.cli.terminal import UsageError

if TYPE_CHECKING:
    from medcrypt.dp import Event

_FRACTIONS_OF_STEPS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_FACTORS_OF_DELTA = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "budget",
        help="what training with noise costs in privacy",
        description="Compute the (epsilon, delta) that the Gaussian mechanism costs over many steps, each on a "
        "Poisson sample of the records (as in DP-SGD). With --target-epsilon, compute the noise instead.",
    )
    parser.add_argument(
        "--noise", type=float, metavar="SIGMA", help="standard deviation of the noise over the clipping norm"
    )
    parser.add_argument(
        "--rate", type=float, default=1.0, help="probability that a record is in one step (default 1: always)"
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
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw both tables (.png, .svg, .pdf)")
    parser.add_argument("--force", action="store_true", help="replace an existing plot")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Budget:
    """The cost of one plan, and of the plans around it."""

    noise_multiplier: float
    sampling_rate: float
    steps: int
    delta: float
    neighbors: str
    epsilon: float
    target_epsilon: float | None
    target_noise_multiplier: float | None
    over_steps: list[tuple[int, float]]
    over_delta: list[tuple[float, float]]


def run(args: argparse.Namespace) -> int:
    """Print the tables."""
    budget = _budget(args)
    print(json.dumps(asdict(budget)) if args.json else "\n".join(_table(budget)))
    if args.plot is not None:
        _plot(budget, args.plot, overwrite=args.force)
    return 0


def _budget(args: argparse.Namespace) -> Budget:
    from medcrypt import dp

    if args.noise is None and args.target_epsilon is None:
        raise UsageError("give --noise or --target-epsilon")
    if args.steps < 1:
        raise UsageError("--steps must be at least 1")
    if not 0 < args.delta < 1:
        raise UsageError("--delta must lie between 0 and 1")

    def step(noise: float) -> Event:
        gaussian = dp.Gaussian(noise)
        return gaussian if args.rate == 1 else dp.PoissonSampled(args.rate, gaussian)

    def calibrated() -> float:
        return dp.calibrate(
            step, count=args.steps, epsilon=args.target_epsilon, delta=args.delta, neighbors=args.neighbors
        )

    needed = None if args.target_epsilon is None else calibrated()
    noise: Any = needed if args.noise is None else args.noise

    def epsilon(steps: int, delta: float) -> float:
        return dp.Accountant(args.neighbors).compose(step(noise), steps).epsilon(delta)

    counts = sorted({max(1, round(args.steps * fraction)) for fraction in _FRACTIONS_OF_STEPS})
    deltas = [args.delta * factor for factor in _FACTORS_OF_DELTA if args.delta * factor < 1]
    return Budget(
        noise_multiplier=noise,
        sampling_rate=args.rate,
        steps=args.steps,
        delta=args.delta,
        neighbors=args.neighbors,
        epsilon=epsilon(args.steps, args.delta),
        target_epsilon=args.target_epsilon,
        target_noise_multiplier=needed,
        over_steps=[(count, epsilon(count, args.delta)) for count in counts],
        over_delta=[(delta, epsilon(args.steps, delta)) for delta in deltas],
    )


def _table(budget: Budget) -> list[str]:
    rate, neighbors = budget.sampling_rate, budget.neighbors.replace("_", " ")
    lines = [
        f"Gaussian noise {budget.noise_multiplier:.6g}, {budget.steps} steps, "
        + ("every record in every step" if rate == 1 else f"Poisson samples at rate {rate:g}"),
        f"Neighbours: {neighbors}",
        f"epsilon = {budget.epsilon:.4f} at delta = {budget.delta:g}",
    ]
    if budget.target_epsilon is not None:
        lines.append(f"noise for epsilon {budget.target_epsilon:g}: {budget.target_noise_multiplier:.6f}")
    lines += ["", f"{'steps':>10}  {'epsilon':>10}"]
    lines += [f"{steps:>10}  {epsilon:>10.4f}" for steps, epsilon in budget.over_steps]
    lines += ["", f"{'delta':>10}  {'epsilon':>10}"]
    return lines + [f"{delta:>10.0e}  {epsilon:>10.4f}" for delta, epsilon in budget.over_delta]


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
    figure.suptitle(f"Gaussian noise {budget.noise_multiplier:.4g}, sampling rate {budget.sampling_rate:g}")
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.lstrip(".") or "png", dpi=150)
    with new_file(replaceable(path), overwrite=overwrite) as file:
        file.write(picture.getvalue())
