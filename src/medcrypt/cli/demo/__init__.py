"""``medcrypt demo``: the whole job on real data.

Real scans are sealed, opened in part and refused when a bit has changed; ten hospitals train together under
threshold Paillier, four of them missing now and then; the report says what it cost in accuracy, bytes,
seconds and privacy.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from medcrypt.durable import new_file

if TYPE_CHECKING:
    from medcrypt.cli.demo.federation import Sum
    from medcrypt.cli.demo.hospitals import Data
    from medcrypt.cli.demo.report import Report, Training

_CURVE = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo", help="the whole job on real scans and ten hospitals, in about a minute"
    )
    parser.add_argument("--epsilon", type=float, default=2.0, help="privacy budget for a patient (default 2)")
    parser.add_argument("--delta", type=float, default=1e-5, help="delta of the budget (default 1e-5)")
    parser.add_argument(
        "--bits",
        type=int,
        default=2048,
        help="length of the Paillier modulus (default 2048, for a quick demo)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="write a picture")
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo, print the report, and write the files that were asked for."""
    for path in (args.json, args.plot):
        if path is not None and path.exists() and not args.force:
            raise FileExistsError(f"{path} exists; --force replaces it")
    from medcrypt.cli.demo.report import lines

    report = make_report(args.epsilon, args.delta, args.bits)
    print("\n".join(lines(report)))
    if args.json is not None:
        with new_file(args.json, overwrite=args.force) as file:
            file.write(json.dumps(report.to_json(), indent=2).encode() + b"\n")
    if args.plot is not None:
        from medcrypt.cli.demo.picture import draw

        picture = io.BytesIO()
        draw(report, picture)
        with new_file(args.plot, overwrite=args.force) as file:
            file.write(picture.getvalue())
    sound = report.sums_equal and all(scan.bit_exact and scan.flipped_bit_refused for scan in report.scans)
    return 0 if sound else 1


def make_report(epsilon: float, delta: float, bits: int) -> Report:
    """Run both parts."""
    from medcrypt._ext import cpu
    from medcrypt.cli.demo import federation, hospitals, scans
    from medcrypt.cli.demo.report import Report

    start = time.perf_counter()
    sealed = [scans.seal_and_open(name, file) for name, file in scans.SCANS.items()]
    data = hospitals.load()
    dimension = data.train.shape[1] * hospitals.CLASSES
    sigma = federation.calibrate(epsilon, delta, dimension)
    encrypted = federation.EncryptedSum(data, sigma, bits)
    spent = federation.spent(sigma, delta, dimension)
    local_sigma = federation.calibrate_local(epsilon, delta, dimension)
    together = math.sqrt(hospitals.HOSPITALS)
    trainings = [
        _train(data, "none (clipped gradients in the clear)", federation.plain_sum(data, 0.0), None),
        _train(data, "threshold Paillier, a share of the noise from each", encrypted, spent, show=True),
        _train(
            data,
            "no secure sum, all of the noise from each",
            federation.plain_sum(data, local_sigma * together),
            epsilon,
        ),
    ]
    encrypted.close()
    curve = []
    for target in _CURVE:
        noise = federation.calibrate(target, delta, dimension) * together
        curve.append((target, _train(data, "", federation.plain_sum(data, noise), target).accuracy))
    return Report(
        kernels=cpu.path(),
        scans=sealed,
        key_bits=bits,
        costs=encrypted.costs,
        sums_equal=encrypted.sums_equal,
        fewest=encrypted.fewest,
        trainings=trainings,
        curve=curve,
        delta=delta,
        sigma=sigma,
        sensitivity=hospitals.SENSITIVITY,
        seconds=time.perf_counter() - start,
    )


def _train(data: Data, protection: str, total: Sum, epsilon: float | None, *, show: bool = False) -> Training:
    from medcrypt.cli.demo import federation
    from medcrypt.cli.demo.report import Training

    start = time.perf_counter()
    _, accuracies = federation.train(data, total, _progress if show else None)
    return Training(protection, accuracies, epsilon, time.perf_counter() - start)


def _progress(done: int, rounds: int) -> None:
    """Show the round on a terminal."""
    if sys.stderr.isatty():
        print(
            f"\r   encrypted round {done} of {rounds}",
            end="\n" if done == rounds else "",
            file=sys.stderr,
            flush=True,
        )
