"""``medcrypt query``: classes for inputs that nobody else sees."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcrypt.cli.serve_inference import address
from medcrypt.cli.terminal import UsageError, shown
from medcrypt.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "query",
        help="ask two servers for the classes of encrypted inputs",
        description="Send random shares of the inputs, one to each server, and print the class or score of each, "
        "a line for each input.",
    )
    parser.add_argument(
        "folder", type=Path, help="the client's folder, as `medcrypt.inference.deploy` wrote it"
    )
    parser.add_argument("inputs", type=Path, help="a .npy file; the first axis counts the inputs")
    parser.add_argument(
        "--server-0", type=address, required=True, metavar="HOST:PORT", help="server 0's address"
    )
    parser.add_argument(
        "--server-1", type=address, required=True, metavar="HOST:PORT", help="server 1's address"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="how many inputs at once (default: all)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the results to a .npy file instead"
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace that file if it exists")
    parser.add_argument("--report", action="store_true", help="also print what each layer cost")
    parser.add_argument("--json", action="store_true", help="print results and report as JSON")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds to wait for a step (default 30)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, and print or write the results."""
    from medcrypt.inference import Connection

    if args.batch is not None and args.batch < 1:
        raise UsageError("--batch must be at least 1")
    inputs = _read(args.inputs)
    with Connection(args.folder, args.server_0, args.server_1, timeout=args.timeout) as connection:
        values, report = connection.query(inputs, args.batch)
    if args.output is not None:
        _write(args.output, values, overwrite=args.force)
    if args.json:
        print(json.dumps({"results": values.tolist(), "report": report.to_json()}))
        return 0
    if args.output is None:
        for value in values:
            print(value if value.ndim == 0 else " ".join(map(str, value.ravel())))
    if args.report:
        print("\n".join(map(shown, str(report).splitlines())))
    return 0


def _read(path: Path) -> NDArray[Any]:
    import numpy as np

    with open(path, "rb") as file:
        try:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
        except ValueError:
            raise FormatError(f"{path}: not a .npy file of numbers") from None


def _write(path: Path, values: NDArray[Any], *, overwrite: bool) -> None:
    import numpy as np

    from medcrypt.durable import new_file

    with new_file(path, overwrite=overwrite) as file:
        np.lib.format.write_array(file, values, allow_pickle=False)
