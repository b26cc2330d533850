"""What the demo found: one record, printed for people and written as JSON for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from medcrypt.cli.demo.federation import COUNTED, DROPOUTS, HOLDER_THRESHOLD, HOLDERS, ROUNDS, Costs
from medcrypt.cli.demo.hospitals import HOSPITALS
from medcrypt.cli.demo.scans import SealedScan


@dataclass(frozen=True)
class Training:
    """One way to train.

    Parameters
    ----------
    protection
        What protects the patients.
    accuracies
        On the test images, after each round.
    epsilon
        Privacy cost of all rounds for one patient, at the report's delta; None without noise.
    seconds
        Wall time.
    """

    protection: str
    accuracies: list[float]
    epsilon: float | None
    seconds: float

    @property
    def accuracy(self) -> float:
        """Accuracy of the final model."""
        return self.accuracies[-1]


@dataclass(frozen=True)
class Report:
    """Everything that the demo measured.

    Parameters
    ----------
    kernels
        The instruction set in use.
    scans
        Part one.
    key_bits, costs, sums_equal, fewest
        The encrypted training: length of n, bytes and seconds, whether every decrypted sum was exactly the
        integer sum, and the fewest hospitals in one.
    trainings
        The ways to train that the table compares; the encrypted one is the second.
    curve
        Pairs of epsilon and accuracy of the same training with other amounts of noise.
    delta
        Delta of every epsilon here.
    sigma
        Discrete Gaussian noise of each hospital, in lattice steps.
    sensitivity
        How far one patient can move the sum, in lattice steps (L2).
    seconds
        The whole demo.
    """

    kernels: str
    scans: list[SealedScan]
    key_bits: int
    costs: Costs
    sums_equal: bool
    fewest: int
    trainings: list[Training]
    curve: list[tuple[float, float]]
    delta: float
    sigma: float
    sensitivity: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def lines(report: Report) -> Iterator[str]:
    """Yield the report for people."""
    yield from _scan_lines(report)
    yield ""
    yield from _federation_lines(report)
    yield ""
    yield f"Done in {report.seconds:.0f} s."


def _scan_lines(report: Report) -> Iterator[str]:
    yield f"1. Sealed scans (AES-256-GCM, kernels: {report.kernels})"
    yield ""
    yield f"   {'':17} {'pixels':>18} {'bytes':>10} {'sealed':>10} {'seal':>9} {'open':>9}   32 x 128 part"
    for scan in report.scans:
        shape = " x ".join(map(str, scan.shape)) + f" {scan.dtype}"
        seal, opened = scan.encrypt_seconds * 1e3, scan.decrypt_seconds * 1e3
        yield (
            f"   {scan.name:17} {shape:>18} {scan.image_bytes:>10,} {scan.sealed_bytes:>10,} "
            f"{seal:>6.2f} ms {opened:>6.2f} ms   {scan.part_chunks} of {scan.chunks} chunks"
        )
    yield ""
    exact = all(scan.bit_exact for scan in report.scans)
    refused = all(scan.flipped_bit_refused for scan in report.scans)
    yield f"   Opened equal to the originals: {_yes(exact)}. One random bit flipped, refused: {_yes(refused)}."


def _federation_lines(report: Report) -> Iterator[str]:
    yield f"2. {HOSPITALS} hospitals learn together (handwritten digits, softmax regression, {ROUNDS} rounds)"
    yield ""
    yield f"   {'protection':52} {'accuracy':>8} {'epsilon':>8}"
    for training in report.trainings:
        epsilon = "none" if training.epsilon is None else f"{training.epsilon:.3f}"
        yield f"   {training.protection:52} {training.accuracy:>8.1%} {epsilon:>8}"
    yield ""
    yield from _paragraph(
        f"Privacy: one patient added or removed, all {ROUNDS} rounds, delta = {report.delta:g}. A patient moves the "
        f"sum by at most {report.sensitivity} lattice steps; each hospital adds discrete Gaussian noise of sigma "
        f"{report.sigma:.0f}, and only {COUNTED} of the {HOSPITALS} shares are counted: {DROPOUTS} may be missing, and "
        "a hospital knows its own."
    )
    costs = report.costs
    yield from _paragraph(
        f"Dropouts: in every third round {DROPOUTS} hospitals did not answer, and in every round "
        f"{HOLDERS - HOLDER_THRESHOLD} of the {HOLDERS} key holders, other ones each time; the smallest sum had "
        f"{report.fewest} hospitals. Every opened sum equal to the plain integer sum of who answered: "
        f"{_yes(report.sums_equal)}."
    )
    yield from _paragraph(
        f"Cost with a {report.key_bits}-bit Paillier key: {costs.keygen_seconds:.1f} s to deal it, with a proof that "
        f"it is sound; over all rounds {costs.hospital_seconds:.1f} s for the {HOSPITALS} hospitals together, "
        f"{costs.server_seconds:.1f} s for the server, {costs.holder_seconds:.1f} s for the key holders together. An "
        f"upload has {costs.upload_bytes:,} bytes, a key holder's answer {costs.opening_bytes:,}."
    )
    yield from _paragraph(
        f"Trust: the server has no secret key. Any {HOLDER_THRESHOLD} of the {HOLDERS} key holders open one sum a "
        f"round, of uploads that they have checked and added themselves; {HOLDER_THRESHOLD - 1} of them and the "
        "server together open nothing. Everyone sees the sums: their noise is what protects the patients."
    )


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="   ", subsequent_indent="   ")


def _yes(value: bool) -> str:
    return "yes" if value else "NO"
