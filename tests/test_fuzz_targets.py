"""The fuzz targets work: each has seeds that it takes, and none finds anything in them or in a few of their mutants."""

import importlib.util
import random
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from medcrypt import MedcryptError

FOLDER = Path(__file__).parent / "fuzz"
TARGETS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "run")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets import from each other, as they can where `run.py` starts them."""
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_refuses_mutants_politely(name: str) -> None:
    draw, taken = random.Random(name), 0
    with warnings.catch_warnings(action="ignore"):  # pydicom's, about damaged files
        target = load(name)
        for seed in target.seeds():
            with suppress(MedcryptError):
                target.parse(seed)
                taken += 1
            for _ in range(5):
                mutant = bytearray(seed or b"?")
                mutant[draw.randrange(len(mutant))] ^= 1 << draw.randrange(8)
                with suppress(MedcryptError):
                    target.parse(bytes(mutant))
    assert taken
