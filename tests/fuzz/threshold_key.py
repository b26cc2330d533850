"""Threshold keys, shares and partial decryptions as bytes, and the messages of a committee."""

from contextlib import suppress

from medcrypt import paillier
from medcrypt.errors import MedcryptError
from medcrypt.paillier.threshold.generation import CommitteeMember

PUBLIC, SHARES = paillier.deal_threshold_key(parties=3, threshold=2, bits=128, insecure=True)
TOTAL = PUBLIC.encrypt([1.0], paillier.Packing(clip=1.0, bits=16))


def seeds() -> list[bytes]:
    part = SHARES[0].partial_decrypt(TOTAL, context=b"round 1")
    _, message = _member(2).start()[0]
    return [PUBLIC.to_bytes(), SHARES[0].to_bytes(), part.to_bytes(), message]


def parse(data: bytes) -> None:
    with suppress(MedcryptError):
        _check(paillier.ThresholdPublicKey.from_bytes(data, insecure=True), data)
    with suppress(MedcryptError):
        _check(paillier.KeyShare.from_bytes(data, PUBLIC), data)
    with suppress(MedcryptError):
        part = paillier.PartialDecryption.from_bytes(data, PUBLIC)
        _check(part, data)
        part.verify(TOTAL, context=b"round 1")
    if data.startswith(b"MCTG"):
        member = _member(1)
        member.start()
        with suppress(MedcryptError):
            member.receive(2, data)


def _member(party: int) -> CommitteeMember:
    return CommitteeMember(party, parties=3, threshold=2, bits=64, insecure=True)


def _check(
    value: paillier.ThresholdPublicKey | paillier.KeyShare | paillier.PartialDecryption, data: bytes
) -> None:
    if value.to_bytes() != data:
        raise RuntimeError("two encodings of one value")
