"""What every test shares: how hard hypothesis tries, what ``--long`` means, and the kernel paths."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Fuzz targets need atheris and are started by `make fuzz`; the scripts beside the vectors made them once.
collect_ignore_glob = ["fuzz/*", "vectors/*"]

# No profile measures time: a busy machine is not a failing test. `ci` repeats the same examples on every
# run, so that a red run is the doing of the change under test; `fast` and `deep` go on exploring.
_UNTIMED = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fast", _UNTIMED, max_examples=25)
settings.register_profile("ci", _UNTIMED, max_examples=100, derandomize=True)
settings.register_profile("deep", _UNTIMED, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--long``."""
    parser.addoption("--long", action="store_true", help="also run the tests marked long (minutes each)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked ``long`` unless they were asked for."""
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes; run with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``kernel_path``, or ``bignum_kernel``, once for each of them that this CPU has."""
    if "kernel_path" in metafunc.fixturenames:
        # Imported here: a broken build then fails the tests of the kernels, not the collection of all.
        from medcrypt._ext import cpu

        metafunc.parametrize("kernel_path", list(cpu.paths()))
    if "bignum_kernel" in metafunc.fixturenames:
        from medcrypt._ext import bignum

        metafunc.parametrize("bignum_kernel", list(bignum.kernels()))
