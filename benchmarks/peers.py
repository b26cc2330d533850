"""The side-by-side table: medcrypt and other libraries on the same work, in the same run.

    python benchmarks/peers.py [--quick] [--only images,dp] [--json FILE]

One module a pillar measures, and yields a `Row` as soon as it has one: `images_peers.rows(quick)`,
`paillier_peers.rows(quick)`, `dp_peers.rows(quick)`, `inference_peers.rows(quick)` and so on.
"""

import argparse
import importlib
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from measuring import Row, version_of

PEERS = (
    "numpy",
    "pycryptodome",
    "cryptography",
    "zarr",
    "phe",
    "gmpy2",
    "pypaillier",
    "sf-heu",
    "tenseal",
    "dp-accounting",
    "opendp",
    "opacus",
    "prv-accountant",
    "mpmath",
    "sycret",
)
COLUMNS = {"work": 58, "ours": 12, "peer": 36, "theirs": 12, "ratio": 9, "goal": 13, "met": 4}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print as it goes, and write the JSON at the end. Exit 0 even where a goal is missed."""
    options = _parse(arguments)
    machine = machine_facts()
    for name, value in machine.items():
        print(f"{name:>13}: {value}")
    rows = []
    for pillar in options.only:
        print(f"\n{pillar}\n{_line({name: name for name in COLUMNS})}")
        for row in _rows(pillar, options.quick):
            rows.append({"pillar": pillar, **row.as_json()})
            print(_printed(row), flush=True)
    missed = sum(row["met"] is False for row in rows)
    print(f"\n{sum(row['met'] is True for row in rows)} goals met, {missed} missed")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    return 0


def pillars() -> list[str]:
    """The pillars that have a module here."""
    return sorted(path.stem.removesuffix("_peers") for path in Path(__file__).parent.glob("*_peers.py"))


def machine_facts() -> dict[str, str]:
    """What a figure depends on: the processor, the kernel path, the versions."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "medcrypt": version_of("medcrypt") or "not installed",
        "kernel path": _kernel_path(),
        "peers": ", ".join(f"{name} {version_of(name) or 'not installed'}" for name in PEERS),
    }


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller work, fewer repeats: a smoke test")
    parser.add_argument("--only", help="comma-separated pillars; all by default: " + ", ".join(pillars()))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the same rows there")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",") if options.only else pillars()
    unknown = sorted(set(options.only) - set(pillars()))
    if unknown:
        parser.error(f"no such pillar: {', '.join(unknown)} (there are {', '.join(pillars())})")
    return options


def _rows(pillar: str, quick: bool) -> Iterator[Row]:
    yield from importlib.import_module(f"{pillar}_peers").rows(quick)


def _processor() -> str:
    """The model's name; `platform.processor` is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _kernel_path() -> str:
    if importlib.util.find_spec("medcrypt._ext.cpu") is None:
        return "no compiled kernels"
    cpu = importlib.import_module("medcrypt._ext.cpu")
    return f"{cpu.path()} (this CPU has {', '.join(cpu.paths())})"


def _printed(row: Row) -> str:
    cells = {
        "work": row.work,
        "ours": _quantity(row.ours, row.unit),
        "peer": row.peer or "-",
        "theirs": _quantity(row.theirs, row.unit),
        "ratio": "-" if row.ratio is None else f"{row.ratio:.3g}x",
        "goal": row.goal.text if row.goal else "-",
        "met": {True: "yes", False: "NO", None: "-"}[row.met],
    }
    return _line(cells) + (f"  {row.note}" if row.note else "")


def _line(cells: Mapping[str, str]) -> str:
    """One aligned line: words to the left of their column, numbers to the right."""
    side = {"ours": ">", "theirs": ">", "ratio": ">"}
    return "  ".join(
        f"{cells[name]:{side.get(name, '<')}{width}}" for name, width in COLUMNS.items()
    ).rstrip()


def _quantity(value: float | None, unit: str) -> str:
    """Three digits and a unit in the range where people read it: 0.00000123 s is 1.23 us."""
    if value is None:
        return "-"
    if unit == "s":
        for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
            if abs(value) >= scale:
                return f"{value / scale:.3g} {name}"
        return f"{value * 1e9:.3g} ns"
    return f"{value:,.0f} {unit}" if abs(value) >= 1000 else f"{value:.3g} {unit}"


if __name__ == "__main__":
    sys.exit(main())
