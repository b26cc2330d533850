"""Threshold keys against a second implementation, in both directions, and against published vectors."""

import json
import secrets
from pathlib import Path

import numpy as np
import pytest

from medcrypt.errors import ProtocolError
from medcrypt.paillier import (
    EncryptedArray,
    KeyShare,
    Packing,
    PartialDecryption,
    ThresholdPublicKey,
    combine_integers,
    deal_threshold_key,
    generate_keypair,
)
from reference import paillier_threshold as twin

FOLDER = Path(__file__).parent.parent / "vectors" / "paillier"
VECTORS = json.loads((FOLDER / "threshold.json").read_text())["vectors"]


def draw(label, limit):
    return secrets.randbelow(limit)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["bits"])
def test_published_partial_decryptions_combine_to_the_published_sum(vector):
    public = ThresholdPublicKey.from_bytes(bytes.fromhex(vector["public"]), insecure=True)
    assert public.to_bytes().hex() == vector["public"]
    total = EncryptedArray.from_bytes(bytes.fromhex(vector["array"]), public)
    context, published = bytes.fromhex(vector["context"]), vector["partial_decryptions"]
    parts = [PartialDecryption.from_bytes(bytes.fromhex(part), public) for part in published]
    assert [part.to_bytes().hex() for part in parts] == published
    for subset in (parts[:3], parts[2:], parts):
        summed = combine_integers(total, subset, context=context)
        assert summed.reshape(-1).tolist() == vector["integers"]
    with pytest.raises(ProtocolError, match="another context"):
        combine_integers(total, parts, context=b"round 8")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["bits"])
def test_published_shares_give_the_published_powers(vector):
    public = ThresholdPublicKey.from_bytes(bytes.fromhex(vector["public"]), insecure=True)
    total = EncryptedArray.from_bytes(bytes.fromhex(vector["array"]), public)
    for share_, part_ in zip(vector["shares"], vector["partial_decryptions"], strict=True):
        share = KeyShare.from_bytes(bytes.fromhex(share_), public)
        assert share.to_bytes().hex() == share_
        part = PartialDecryption.from_bytes(bytes.fromhex(part_), public)
        assert share.partial_decrypt(total).residues == part.residues


def test_the_twin_accepts_and_combines_our_partial_decryptions():
    public, shares = deal_threshold_key(parties=4, threshold=2, bits=256, insecure=True)
    packing = Packing(bits=16, max_terms=2)
    values = np.arange(-20, 20)
    total = 2 * public.encrypt_integers(values, packing)
    array, count = total.to_bytes(), len(total.residues)
    parts = [shares[i].partial_decrypt(total, context=b"c").to_bytes() for i in (3, 1)]
    powers = dict(twin.verify(public.to_bytes(), array, count, b"c", part) for part in parts)
    assert sorted(powers) == [2, 4]
    plaintexts = twin.combine(public.n, 4, powers)
    assert packing.decode_integers(plaintexts, 40, 2, public.bits).tolist() == (2 * values).tolist()


def test_we_accept_keys_shares_and_partial_decryptions_of_the_twin():
    _, private = generate_keypair(256, safe_primes=True, insecure=True)
    data, exponents = twin.deal(private.p, private.q, 4, 3, draw)
    public = ThresholdPublicKey.from_bytes(data, insecure=True)
    packing = Packing(bits=16, max_terms=2)
    total = public.encrypt_integers(np.arange(30), packing)
    array, count = total.to_bytes(), len(total.residues)
    theirs = [
        PartialDecryption.from_bytes(
            twin.partial_decryption(data, i, exponents[i - 1], array, count, b"", draw), public
        )
        for i in (1, 4)
    ]
    ours = KeyShare.from_bytes(twin.share_bytes(data, 2, exponents[1]), public).partial_decrypt(total)
    assert combine_integers(total, [*theirs, ours]).tolist() == list(range(30))
