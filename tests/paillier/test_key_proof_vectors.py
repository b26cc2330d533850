"""Key proofs against a second implementation, in both directions, and against published vectors."""

import json
import secrets
from pathlib import Path

import pytest

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier import PublicKey
from medcrypt.paillier.proofs import RingPedersen
from medcrypt.paillier.proofs.residues import jacobi
from medcrypt.paillier.safe_primes import random_safe_prime
from reference import paillier_proofs as twin

FOLDER = Path(__file__).parent.parent / "vectors" / "paillier"


def draw(label, limit):
    return secrets.randbelow(limit)


@pytest.fixture(scope="module")
def parameters():
    return RingPedersen.generate(256, context=b"verifier", insecure=True)


def test_the_twin_accepts_our_proofs(private, parameters):
    n = private.public.n
    twin.verify_blum(n, private.prove(context=b"c"), b"c", jacobi)
    triple = twin.verify_parameters(parameters.to_bytes(), b"verifier")
    assert triple == (parameters.n, parameters.s, parameters.t)
    twin.verify_factors(n, private.prove_no_small_factor(parameters, context=b"c"), triple, b"c")


def test_we_accept_the_proofs_of_the_twin(private):
    public, p, q = private.public, private.p, private.q
    public.verify(twin.prove_blum(p, q, b"c", draw), context=b"c")
    data = twin.make_parameters(random_safe_prime(128), random_safe_prime(128), b"verifier", draw)
    theirs = RingPedersen.from_bytes(data, context=b"verifier", insecure=True)
    triple = theirs.n, theirs.s, theirs.t
    public.verify_no_small_factor(twin.prove_factors(p, q, triple, b"c", draw), theirs, context=b"c")


@pytest.mark.parametrize("vector", json.loads((FOLDER / "proofs.json").read_text())["vectors"])
def test_published_proofs_are_accepted_for_their_context_only(vector):
    context = bytes.fromhex(vector["context"])
    public = PublicKey(int(vector["n"], 16), insecure=True)
    blum, pedersen, factors = (bytes.fromhex(vector[name]) for name in ("blum", "ring_pedersen", "factors"))
    assert public.verify(blum, context=context).trusted
    parameters = RingPedersen.from_bytes(pedersen, context=context, insecure=True)
    public.verify_no_small_factor(factors, parameters, context=context)
    for operation in (
        lambda: public.verify(blum, context=context + b"\0"),
        lambda: RingPedersen.from_bytes(pedersen, context=b"", insecure=True),
        lambda: public.verify_no_small_factor(factors, parameters, context=b""),
    ):
        with pytest.raises(InvalidKeyError):
            operation()
