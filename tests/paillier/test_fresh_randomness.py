"""Every way of encrypting the same thing draws anew: in one process, in threads, and after a fork."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medcrypt.paillier import Packing, PublicKey, linear_algebra, phe

PACKING = Packing(clip=1.0, bits=8, max_terms=2)


class Source:
    """The same values under one key by every way there is, after everything that is built once was built."""

    def __init__(self, private):
        self.private, self.trusted = private, private.public
        self.untrusted = PublicKey(private.public.n, insecure=True)
        self.known = phe.PaillierPublicKey.from_key(self.trusted)
        self.foreign = phe.PaillierPublicKey(private.public.n, insecure=True)
        self.array, self.number = self.trusted.encrypt([0.5], PACKING), self.known.encrypt(1) + 0
        self.draw()

    def draw(self):
        """Return ciphertexts, no two of which may be equal, nor equal to those of another call."""
        keys = self.private, self.trusted, self.untrusted
        drawn = [key.raw_encrypt(0) for key in keys]
        for key in keys:
            drawn += key.encrypt([0.0] * 200, PACKING).ciphertexts
            drawn += key.encrypt_integers_and_prove([0], PACKING)[0].ciphertexts
        for short in (False, True):
            drawn += self.array.rerandomize(short=short).ciphertexts
        drawn += linear_algebra.encrypt_integers(self.trusted, [0] * 9).ciphertexts
        drawn += [key.raw_encrypt(0) for key in (self.known, self.foreign)]
        self.number._EncryptedNumber__is_obfuscated = False
        drawn.append(self.number.ciphertext())
        return drawn


def test_no_two_calls_and_no_two_threads_draw_the_same(private):
    source = Source(private)
    with ThreadPoolExecutor(8) as pool:
        # Each thread has numbers of its own; the keys are shared.
        sources = [source, *pool.map(Source, [private] * 7)]
        drawn = [c for part in pool.map(Source.draw, sources) for c in part]
    drawn += source.draw()
    assert len(set(drawn)) == len(drawn) > 9 * 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_no_child_draws_what_its_parent_or_another_child_draws():
    program = """
        import json, os
        from medcrypt.paillier import generate_keypair
        from test_fresh_randomness import Source

        source = Source(generate_keypair(256, insecure=True)[1])
        reading, writing = os.pipe()
        for _ in range(2):
            if os.fork() == 0:
                with os.fdopen(writing, "w") as out:
                    out.write(json.dumps(source.draw()) + "\\n")
                os._exit(0)
            os.wait()
        os.close(writing)
        parts = [source.draw(), *map(json.loads, os.fdopen(reading))]
        drawn = [c for part in parts for c in part]
        assert len(parts) == 3 and len(set(drawn)) == len(drawn)
        print("distinct")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "distinct", result.stderr
