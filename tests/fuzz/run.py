"""Throw mutated bytes at medcrypt's parsers, guided by coverage (atheris, libFuzzer).

    python tests/fuzz/run.py [--seconds 60] [TARGET ...]

A target is a file beside this one with two functions: `seeds()` gives well-formed inputs to start from, and
`parse(data)` is handed what the fuzzer made of them. `parse` may return, or raise a `MedcryptError`. Anything
else is a finding: another exception, a crash, ten seconds without an answer, more than a gibibyte of memory.
Where a target knows the plaintext, it also fails on an input that opens to anything else.

What is found is kept below build/fuzz/TARGET, and so is the corpus: the next run goes on from there.
"""

import argparse
import hashlib
import importlib
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / "build" / "fuzz"
SECONDS_FOR_ONE_INPUT = 10
SPARE_MEMORY = 1 << 30


def main() -> int:
    """Fuzz each target in a process of its own; exit 1 if any of them found something."""
    names = sorted(path.stem for path in HERE.glob("*.py") if path != Path(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all by default: " + ", ".join(names))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = sorted(set(options.targets) - set(names))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)} (there are {', '.join(names)})")
    if options.inside:
        fuzz(options.targets[0], options.seconds)
    found = [name for name in options.targets or names if not _survives(name, options.seconds)]
    print(f"findings in: {', '.join(found)} (see {KEPT})" if found else "nothing found")
    return bool(found)


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["medcrypt"]):
        target = importlib.import_module(name)
    corpus = KEPT / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-timeout={SECONDS_FOR_ONE_INPUT}",
            f"-artifact_prefix={KEPT / name}/",
            "-print_final_stats=1",
            str(corpus),
        ],
        _refusing_politely(target.parse),
    )
    _limit_memory()
    atheris.Fuzz()


def _survives(name: str, seconds: int) -> bool:
    print(f"--- {name}, {seconds} s", flush=True)
    command = [sys.executable, str(Path(__file__)), "--inside", "--seconds", str(seconds), name]
    return subprocess.run(command, check=False).returncode == 0


def _refusing_politely(parse: Callable[[bytes], None]) -> Callable[[bytes], None]:
    from medcrypt.errors import MedcryptError

    def one_input(data: bytes) -> None:
        with suppress(MedcryptError):
            parse(data)

    return one_input


def _limit_memory() -> None:
    """Turn a large allocation into a MemoryError, even one whose pages are never touched."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_MEMORY, used + SPARE_MEMORY))


if __name__ == "__main__":
    sys.exit(main())
