"""``medcrypt simulate``: try an aggregation plan on made-up updates, and see what each role pays."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from medcrypt.cli.terminal import UsageError, shown

if TYPE_CHECKING:
    from medcrypt.aggregation import Federation, Report

_BACKENDS = ("homomorphic", "masking")


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "simulate",
        help="try a plan of secure aggregation, with dropouts and cheaters",
        description="Run one round of secure aggregation with all parties in this process, on made-up updates, and "
        "say what every role sends and how long it takes. Exit code 1 if no exact sum comes out.",
    )
    parser.add_argument("--backend", choices=(*_BACKENDS, "both"), default="both", help="default: both")
    parser.add_argument("--clients", type=int, default=10, help="how many clients (default 10)")
    parser.add_argument("--threshold", type=int, help="fewest whose sum is opened (default: more than half)")
    parser.add_argument("--values", type=int, default=10_000, help="values of one update (default 10000)")
    parser.add_argument("--bits", type=int, default=16, help="bits of one value (default 16)")
    parser.add_argument("--clip", type=float, default=1.0, help="largest magnitude of a value (default 1)")
    parser.add_argument(
        "--max-weight", type=int, metavar="W", help="a weighted mean, with private weights up to W"
    )
    parser.add_argument("--dropouts", type=int, default=0, help="how many clients vanish before they upload")
    parser.add_argument(
        "--cheat", action="append", default=[], metavar="PARTY=HOW",
        help="a party that cheats, such as client-01=replay (damage, replay, twice, copy), holder-1=wrong, "
        "server=single or server=two-sets; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--key-bits", type=int, default=3072, help="length of the Paillier modulus (default 3072)"
    )
    parser.add_argument("--holders", type=int, default=5, help="holders of a key share (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON, a list with one report a back-end")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the rounds and print the reports."""
    if args.holders < 2:
        raise UsageError("--holders must be at least 2: their threshold is more than half of them")
    if not 0 <= args.dropouts <= args.clients:
        raise UsageError("--dropouts must be between 0 and --clients")
    backends = _BACKENDS if args.backend == "both" else (args.backend,)
    with _federation(args, needs_key="homomorphic" in backends) as federation:
        reports = [_round(federation, backend, args) for backend in backends]
    if args.json:
        print(json.dumps([report.to_json() for report in reports]))
    else:
        print("\n\n".join("\n".join(map(shown, str(report).splitlines())) for report in reports))
    return 0 if all(report.exact for report in reports) else 1


def _federation(args: argparse.Namespace, *, needs_key: bool) -> Federation:
    from medcrypt import aggregation, paillier

    plan = aggregation.Plan(
        clients=args.clients,
        threshold=args.clients // 2 + 1 if args.threshold is None else args.threshold,
        clip=args.clip,
        bits=args.bits,
        shapes={"update": (args.values,)},
        weighted=args.max_weight is not None,
        max_weight=args.max_weight,
    )
    keys = None
    if needs_key:
        keys = paillier.deal_threshold_key(args.holders, args.holders // 2 + 1, args.key_bits)
    return aggregation.Federation(plan, keys=keys)


def _round(federation: Federation, backend: Any, args: argparse.Namespace) -> Report:
    import numpy as np

    cheaters = dict(_cheater(text) for text in args.cheat)
    waves = np.linspace(0.0, 20.0, args.values)
    updates, weights = {}, {}
    for number, name in enumerate(federation.clients):
        updates[name] = {"update": args.clip * np.sin(waves + number)}
        weights[name] = 1 + number % (args.max_weight or 1)
    return federation.run(
        updates,
        weights if args.max_weight is not None else None,
        backend=backend,
        dropouts=federation.clients[args.clients - args.dropouts :],
        cheaters=cheaters,
    )


def _cheater(text: str) -> tuple[str, str]:
    party, separator, how = text.partition("=")
    if not separator:
        raise UsageError(f"--cheat needs PARTY=HOW, not {text!r}")
    return party, how
