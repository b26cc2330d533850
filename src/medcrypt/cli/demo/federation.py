"""Part two of the demo: the hospitals train together, and their updates travel only as Paillier ciphertexts.

Who knows what:

* A *hospital* knows its patients and the public model. It never sends anything but ciphertexts.
* The *server* adds ciphertexts. It has no secret key and reads nothing.
* The *key holder* decrypts the sum, once a round, and publishes it. It is a third party (a notary, a
  ministry); if it colluded with the server it could decrypt single uploads, in which only that hospital's own
  share of the noise would protect the patients. Threshold keys, which take this power from any single party,
  are to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from medcrypt import dp, paillier
from medcrypt.cli.demo.hospitals import (
    CLASSES,
    HOSPITALS,
    SENSITIVITY,
    STEP,
    Data,
    Floats,
    Integers,
    accuracy,
    clipped_sum,
)

ROUNDS = 30
# Every hospital sees the sums and knows its own noise, so one share never counts.
COLLUDING = 1
_LEARNING_RATE = 40.0
_MOMENTUM = 0.8
# The update is divided by this public number. The true number of patients would reveal whether one took part.
_NOMINAL_PATIENTS = 1400
_CONTEXT = b"medcrypt demo"
_PACKING = paillier.Packing(clip=1.0, bits=24, max_terms=HOSPITALS)

Sum = Callable[[int, Floats], Integers]
Progress = Callable[[int, int], None]


@dataclass
class Costs:
    """Bytes and seconds of the encrypted training, by role.

    Parameters
    ----------
    keygen_seconds
        For the key, the proof of its modulus, and the check of that proof.
    hospital_seconds, server_seconds, holder_seconds
        For all rounds together; the hospitals' are those of all ten.
    upload_bytes
        Of one hospital in one round.
    ciphertexts
        Of one hospital in one round.
    proof_bytes
        Of the proof that the key's modulus is sound.
    """

    keygen_seconds: float = 0.0
    hospital_seconds: float = 0.0
    server_seconds: float = 0.0
    holder_seconds: float = 0.0
    upload_bytes: int = 0
    ciphertexts: int = 0
    proof_bytes: int = 0


@dataclass
class EncryptedSum:
    """The sum of all hospitals' updates as the protocol computes it, with its costs.

    Parameters
    ----------
    data
        The hospitals' patients.
    sigma
        Parameter of each hospital's discrete Gaussian noise in lattice steps; 0 adds none.
    bits
        Length of the Paillier modulus.
    """

    data: Data
    sigma: float
    bits: int
    costs: Costs = field(default_factory=Costs)
    sums_equal: bool = True

    def __post_init__(self) -> None:
        start = time.perf_counter()
        public, self._private = paillier.generate_keypair(self.bits)
        # What the hospitals get: the public half, and a proof that its modulus is sound.
        proof = self._private.prove(context=_CONTEXT)
        self._public = paillier.PublicKey.from_bytes(public.to_bytes(), proof=proof, context=_CONTEXT)
        self.costs.keygen_seconds, self.costs.proof_bytes = time.perf_counter() - start, len(proof)

    def __call__(self, round_number: int, weights: Floats) -> Integers:
        """Run one round: ten uploads, one addition, one decryption."""
        context = b"round %d" % round_number
        in_clear = np.zeros(weights.size, np.int64)
        uploads = []
        for number in range(HOSPITALS):
            update = noisy_sum(self.data, number, weights, self.sigma)
            in_clear += update
            uploads.append(self._upload(update, context))
        total = self._decrypt(self._add(uploads, context), context)
        self.sums_equal &= bool(np.array_equal(total, in_clear))
        return total

    def _upload(self, update: Integers, context: bytes) -> bytes:
        start = time.perf_counter()
        encrypted = self._public.encrypt_integers(update, _PACKING, context=context)
        upload = encrypted.to_bytes()
        self.costs.hospital_seconds += time.perf_counter() - start
        self.costs.upload_bytes, self.costs.ciphertexts = len(upload), len(encrypted.ciphertexts)
        return upload

    def _add(self, uploads: list[bytes], context: bytes) -> bytes:
        start = time.perf_counter()
        arrays = [paillier.EncryptedArray.from_bytes(upload, self._public) for upload in uploads]
        if any(array.context != context or array.terms != 1 for array in arrays):
            raise ValueError("an upload belongs to another round")
        total = paillier.add(arrays).to_bytes()
        self.costs.server_seconds += time.perf_counter() - start
        return total

    def _decrypt(self, total: bytes, context: bytes) -> Integers:
        start = time.perf_counter()
        array = paillier.EncryptedArray.from_bytes(total, self._private.public)
        if array.context != context or array.terms != HOSPITALS:
            raise ValueError("the holder opens only the sum of all hospitals, once a round")
        opened = self._private.decrypt_integers(array)
        self.costs.holder_seconds += time.perf_counter() - start
        return opened


def noisy_sum(data: Data, number: int, weights: Floats, sigma: float) -> Integers:
    """Return what one hospital would send if there were no encryption."""
    update = clipped_sum(weights, *data.of_hospital(number))
    if sigma:
        update = update + dp.noise.discrete_gaussian(sigma, update.size)
    return update


def plain_sum(data: Data, sigma: float) -> Sum:
    """Return the same sum without encryption, for the lines that the table compares with.

    One draw stands for the ten: their sum is a discrete Gaussian but for terms of exp(-pi^2 sigma^2).
    """

    def add_up(_: int, weights: Floats) -> Integers:
        total = clipped_sum(weights, data.train, data.train_labels)
        return total + dp.noise.discrete_gaussian(sigma, total.size) if sigma else total

    return add_up


def train(data: Data, total: Sum, progress: Progress | None = None) -> tuple[Floats, list[float]]:
    """Run all rounds of gradient descent with momentum on the sums; return the weights and the accuracies."""
    weights: Floats = np.zeros((data.train.shape[1], CLASSES))
    velocity: Floats = np.zeros_like(weights)
    accuracies = []
    for number in range(1, ROUNDS + 1):
        gradient = total(number, weights).reshape(weights.shape) * (STEP / _NOMINAL_PATIENTS)
        velocity = _MOMENTUM * velocity + gradient
        weights = weights - _LEARNING_RATE * velocity
        accuracies.append(accuracy(weights, data))
        if progress is not None:
            progress(number, ROUNDS)
    return weights, accuracies


def event(sigma: float, dimension: int) -> dp.ZeroConcentratedDP:
    """Return what one round with these noise shares releases about one patient."""
    return dp.distributed_discrete_gaussian(sigma, HOSPITALS - COLLUDING, SENSITIVITY, dimension)


def calibrate(epsilon: float, delta: float, dimension: int) -> float:
    """Return each hospital's noise share, in lattice steps, for an epsilon over all rounds."""
    return _calibrate(epsilon, delta, lambda sigma: event(sigma, dimension))


def calibrate_local(epsilon: float, delta: float, dimension: int) -> float:
    """Return the noise that each hospital would need if its own upload were readable."""
    return _calibrate(
        epsilon, delta, lambda sigma: dp.distributed_discrete_gaussian(sigma, 1, SENSITIVITY, dimension)
    )


def _calibrate(epsilon: float, delta: float, family: Callable[[float], dp.Event]) -> float:
    return dp.calibrate(family, count=ROUNDS, epsilon=epsilon, delta=delta, bracket=(1.0, 1e9))


def spent(sigma: float, delta: float, dimension: int) -> float:
    """Return the epsilon of all rounds."""
    return dp.Accountant().compose(event(sigma, dimension), count=ROUNDS).epsilon(delta)
