"""Opacus: medcrypt's accountant under the name ``"medcrypt"``.

    from medcrypt.integrations import opacus as medcrypt_opacus
    medcrypt_opacus.register()
    engine = opacus.PrivacyEngine(accountant="medcrypt")

History, merging of equal neighbours and the state are Opacus's own: ``history = [(noise_multiplier,
sample_rate, num_steps)]``, and a state of another of its accountants is refused. Opacus accounts for Poisson
sampling (``poisson_sampling=True``, its default) and for adding or removing a record, and so does this. With
``poisson_sampling=False`` the loader shuffles, and no accountant of Opacus describes what ran.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

from medcrypt.dp import Accountant, Gaussian, PoissonSampled

__all__ = ["MedcryptAccountant", "register"]

MedcryptAccountant: type[Any]  # made when it is first asked for

_Entry = tuple[float, float, int]


class _Counting:
    """The methods that Opacus asks of an accountant; its base class brings state and hooks."""

    history: list[_Entry]

    def __init__(self) -> None:
        super().__init__()
        self.history = []
        self._counted: list[_Entry] = []
        self._accountant = Accountant()

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """Count one step.

        Parameters
        ----------
        noise_multiplier
            Standard deviation of the noise over the clipping norm.
        sample_rate
            Probability that a record is in the batch.
        """
        steps = 0
        if self.history and tuple(self.history[-1][:2]) == (noise_multiplier, sample_rate):
            steps = self.history.pop()[2]
        self.history.append((noise_multiplier, sample_rate, steps + 1))

    def get_epsilon(self, delta: float, **_: object) -> float:
        """Return epsilon spent so far, from above.

        Parameters
        ----------
        delta
            In [0, 1).
        **_
            Options of other accountants (``alphas``, ``eps_error``): there is nothing to tune here.

        Returns
        -------
        float
            Epsilon; infinite if a step ran without noise.

        Raises
        ------
        TypeError, ValueError
            If delta or something in the history is outside its range.
        """
        if any(sigma == 0 and rate > 0 and steps > 0 for sigma, rate, steps in self.history):
            return math.inf
        self._count()
        return self._accountant.epsilon(delta)

    def _count(self) -> None:
        """Bring the accountant up to the history, by the new steps only where nothing else changed."""
        history: list[_Entry] = [(sigma, rate, steps) for sigma, rate, steps in self.history]
        if not _continues(self._counted, history):
            self._counted, self._accountant = [], Accountant()
        for before, entry in itertools.zip_longest(self._counted, history):
            sigma, rate, steps = entry
            new = steps - (before[2] if before else 0)
            if new and rate > 0:
                self._accountant.compose(PoissonSampled(rate, Gaussian(sigma)), new)
        self._counted = history

    def __len__(self) -> int:
        """Return the number of entries in the history, as Opacus's own accountants do."""
        return len(self.history)

    @classmethod
    def mechanism(cls) -> str:
        """Return the name under which Opacus knows this accountant."""
        return "medcrypt"


def _continues(before: list[_Entry], after: list[_Entry]) -> bool:
    """Tell whether a history is an earlier one with more steps at its end."""
    if not before:
        return True
    if len(after) < len(before) or after[: len(before) - 1] != before[:-1]:
        return False
    last, now = before[-1], after[len(before) - 1]
    return last[:2] == now[:2] and last[2] <= now[2]


@functools.cache
def _accountant_class() -> type[Any]:
    """Return the accountant's class, a child of Opacus's."""
    try:
        from opacus.accountants import IAccountant
    except ImportError:
        raise ImportError("this needs opacus: pip install 'medcrypt[opacus]'") from None
    documentation = "An accountant of Opacus whose epsilon is exact, from above."
    return type(
        "MedcryptAccountant", (_Counting, IAccountant), {"__doc__": documentation, "__module__": __name__}
    )


def __getattr__(name: str) -> type[Any]:
    """Make `MedcryptAccountant` when it is first asked for: importing this module imports no framework."""
    if name == "MedcryptAccountant":
        return _accountant_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register() -> type[Any]:
    """Register the accountant, so that ``PrivacyEngine(accountant="medcrypt")`` and ``create_accountant`` find it.

    Returns
    -------
    type
        The accountant's class, a child of ``opacus.accountants.IAccountant``. Calling again does nothing.

    Raises
    ------
    ImportError
        If Opacus is not installed, or has no ``register_accountant`` (before 1.5).
    """
    accountant = _accountant_class()
    from opacus.accountants import register_accountant

    register_accountant(accountant.mechanism(), accountant, force=True)
    return accountant
