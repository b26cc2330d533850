"""Run python-phe's own unit tests, from its installed package, with our classes in place of its.

    python phe_test_suite.py CASES DEFAULT_BITS

CASES is a module of `phe.tests`. `phe.paillier` and `phe.encoding` are ours; the rest of the package (its
command line, its number theory) stays python-phe's own and runs on our classes. Keys that a test asks for
without a length get DEFAULT_BITS. The last line printed is the outcome: tests, failures, errors, skipped.
"""

import importlib
import importlib.machinery
import sys
import types
import unittest

from medcrypt.paillier import phe as ours


def put_in_place_of_phe(default_bits: int) -> None:
    """Make `import phe` find our classes."""
    spec = importlib.machinery.PathFinder.find_spec("phe")
    package, paillier = types.ModuleType("phe"), types.ModuleType("phe.paillier")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    for module, source in ((package, ours), (paillier, ours.paillier)):
        vars(module).update({name: getattr(source, name) for name in source.__all__})
        module.DEFAULT_KEYSIZE = default_bits
        module.generate_paillier_keypair = lambda ring=None, n_length=default_bits: (
            ours.generate_paillier_keypair(ring, n_length)
        )
    package.paillier = paillier
    sys.modules.update({"phe": package, "phe.paillier": paillier, "phe.encoding": ours.encoding})
    importlib.import_module("phe.util")


def main(cases: str, default_bits: int) -> None:
    put_in_place_of_phe(default_bits)
    module = importlib.import_module(f"phe.tests.{cases}")
    outcome = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromModule(module))
    print(outcome.testsRun, len(outcome.failures), len(outcome.errors), len(outcome.skipped))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
