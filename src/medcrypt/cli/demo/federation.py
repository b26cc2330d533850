"""Part two of the demo: the hospitals train together, and their updates travel only as Paillier ciphertexts.

Who knows what:

* A *hospital* knows its patients and the public model. It never sends anything but ciphertexts, with a proof that it
  knows what is in them, and its signature.
* The *server* adds ciphertexts. It has no secret key and reads nothing.
* Five *key holders* (a notary, a ministry, whoever does not collude) have a share of the secret key each. Any
  three of them open the sum of one agreed set of hospitals a round, and nothing else: each adds the signed
  uploads itself and keeps a ledger. One or two of them learn nothing, even together with the server.

In every third round four of the ten hospitals do not answer, and in every round two of the five key holders.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from medcrypt import aggregation, dp, paillier
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

ROUNDS = 9
HOLDERS, HOLDER_THRESHOLD = 5, 3
# So many hospitals miss every third round. Of the holders only the threshold ever answers.
DROPOUTS = 4
# Every hospital sees the sums and knows its own noise, so one share never counts.
COLLUDING = 1
# The shares of noise that are certain to be in the sum, and unknown to whoever looks at it.
COUNTED = HOSPITALS - DROPOUTS - COLLUDING
_LEARNING_RATE = 80.0
_MOMENTUM = 0.8
# The update is divided by this public number. The true number of patients would reveal whether one took part.
_NOMINAL_PATIENTS = 1400
_BITS = 24

Sum = Callable[[int, Floats], Integers]
Progress = Callable[[int, int], None]


@dataclass
class Costs:
    """Bytes and seconds of the encrypted training, by role.

    Parameters
    ----------
    keygen_seconds
        For dealing the key, with a proof that its modulus is sound, and for checking that.
    hospital_seconds, server_seconds, holder_seconds
        For all rounds, all parties of a role together.
    upload_bytes, opening_bytes
        Of one hospital, and of one key holder, in one round.
    """

    keygen_seconds: float = 0.0
    hospital_seconds: float = 0.0
    server_seconds: float = 0.0
    holder_seconds: float = 0.0
    upload_bytes: int = 0
    opening_bytes: int = 0


@dataclass
class EncryptedSum:
    """The sum of the hospitals' updates as the protocol computes it, with its costs.

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
    fewest: int = HOSPITALS

    def __post_init__(self) -> None:
        start = time.perf_counter()
        dealt, shares = paillier.deal_threshold_key(HOLDERS, HOLDER_THRESHOLD, self.bits)
        # What the hospitals get: the public half, whose bytes carry a proof that its modulus is sound.
        public = paillier.ThresholdPublicKey.from_bytes(dealt.to_bytes())
        self.costs.keygen_seconds = time.perf_counter() - start
        levels = (1 << (_BITS - 1)) - 1
        plan = aggregation.Plan(
            clients=HOSPITALS,
            threshold=HOSPITALS - DROPOUTS,
            clip=levels,  # the hospitals' lattice steps are the plan's
            bits=_BITS,
            shapes={"gradient": (self.data.train.shape[1] * CLASSES,)},
        )
        self._federation = aggregation.Federation(plan, keys=(public, shares))

    def __call__(self, round_number: int, weights: Floats) -> Integers:
        """Run one round: uploads, one addition, one opened sum."""
        names = self._federation.clients
        updates = {
            name: noisy_sum(self.data, number, weights, self.sigma) for number, name in enumerate(names)
        }
        report = self._federation.run(
            {name: {"gradient": update} for name, update in updates.items()},
            round_id=round_number,
            dropouts=self._missing(round_number),
        )
        if report.aggregate is None:
            raise RuntimeError(f"round {round_number}: {report.failure}")
        self._count(report)
        contributors = report.aggregate.contributors
        in_clear = np.sum([updates[name] for name in contributors], axis=0)
        self.sums_equal &= bool(np.array_equal(report.aggregate.integers, in_clear))
        self.fewest = min(self.fewest, len(contributors))
        return report.aggregate.integers

    def close(self) -> None:
        """Remove the key holders' ledgers."""
        self._federation.close()

    def _missing(self, round_number: int) -> list[str]:
        """Return who does not answer in a round: others every time."""
        hospitals, holders = self._federation.clients, self._federation.plan.holders
        missing = [holders[(round_number + i) % HOLDERS] for i in range(HOLDERS - HOLDER_THRESHOLD)]
        if round_number % 3 == 0:
            missing += [hospitals[(round_number // 3 + i) % HOSPITALS] for i in range(DROPOUTS)]
        return missing

    def _count(self, report: aggregation.Report) -> None:
        """Add what a round cost."""
        costs, seconds, steps = self.costs, report.seconds, {step.name: step for step in report.steps}
        costs.hospital_seconds += seconds["client"]
        costs.server_seconds += seconds["server"]
        costs.holder_seconds += seconds["holder"]
        costs.upload_bytes = steps["upload"].sent // steps["upload"].parties
        costs.opening_bytes = steps["open"].sent // steps["open"].parties


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
    return dp.distributed_discrete_gaussian(sigma, COUNTED, SENSITIVITY, dimension)


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
