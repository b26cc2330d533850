"""``medcrypt serve-inference``: be the dealer or a server of an encrypted inference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medcrypt.cli.terminal import UsageError

__all__ = ["add_parser", "address", "run"]


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "serve-inference",
        help="be the dealer or a server of encrypted inference",
        description="Play the party whose folder `medcrypt.inference.deploy` wrote, until the session ends: the "
        "dealer, server 0 or server 1. The three belong on machines that nobody controls together.",
    )
    parser.add_argument("folder", type=Path, help="the party's folder")
    parser.add_argument(
        "--listen",
        type=address,
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="where other parties connect (default: a free port of this machine alone)",
    )
    parser.add_argument(
        "--dealer", type=address, metavar="HOST:PORT", help="the dealer's address; for both servers"
    )
    parser.add_argument("--server-0", type=address, metavar="HOST:PORT", help="server 0's; for server 1")
    parser.add_argument(
        "--prepare", action="append", default=[], metavar="SIZE:COUNT",
        help="server 0: keep COUNT batches of SIZE inputs dealt ahead whenever a client connects; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--store", type=Path, metavar="FOLDER", help="a server: keep them on disk, sealed, not in memory"
    )
    parser.add_argument("--clients", type=int, metavar="N", help="server 0: end after N clients")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds to wait for a step (default 30)")
    parser.set_defaults(run=run)


def address(text: str) -> tuple[str, int]:
    """Parse HOST:PORT; an IPv6 host stands in brackets.

    Examples
    --------
    >>> address("ward.example:4711"), address("[::1]:80")
    (('ward.example', 4711), ('::1', 80))
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def run(args: argparse.Namespace) -> int:
    """Serve until the session ends."""
    from medcrypt.inference import serve

    serve(
        args.folder,
        listen=args.listen,
        dealer=args.dealer,
        server_0=args.server_0,
        prepare=dict(map(_batches, args.prepare)),
        store=args.store,
        clients=args.clients,
        timeout=args.timeout,
        listening=lambda found: print(f"listening at {found[0]}:{found[1]}", flush=True),
        ready=lambda: print("ready for clients", flush=True),
    )
    return 0


def _batches(text: str) -> tuple[int, int]:
    size, _, count = text.partition(":")
    if not (size.isdecimal() and count.isdecimal() and int(size)):
        raise UsageError(f"--prepare needs SIZE:COUNT, not {text!r}")
    return int(size), int(count)
