"""Google's dp-accounting: an accountant that reads its events.

    from medcrypt.integrations.dp_accounting import MedcryptAccountant
    accountant = MedcryptAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)

It fits wherever a ``PrivacyAccountant`` goes, for instance into ``calibrate_dp_mechanism``. The events keep
dp-accounting's meaning: a noise multiplier is the standard deviation over the largest norm C of *one* record.
Replacing a record moves a sum by up to 2 C, so that under ``REPLACE_ONE`` medcrypt's own multiplier, which is
stated under the relation, is half of that.

What has no proven bound is refused with the reason: Poisson sampling under ``REPLACE_ONE``, samples of fixed size
under ``ADD_OR_REMOVE_ONE``, and the relation ``REPLACE_SPECIAL``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from medcrypt import dp
from medcrypt.dp.events import why_refused

__all__ = ["MedcryptAccountant", "to_event"]

MedcryptAccountant: type[Any]  # made when it is first asked for

_RELATIONS = {"ADD_OR_REMOVE_ONE": "add_or_remove_one", "REPLACE_ONE": "replace_one"}
_NOTHING = dp.Composed(())


def to_event(event: Any, neighbors: str = "add_or_remove_one") -> dp.Event | None:
    """Translate an event of dp-accounting.

    Parameters
    ----------
    event
        A ``dp_accounting.DpEvent``.
    neighbors
        The neighbouring relation, as in `medcrypt.dp.Accountant`: sensitivities are stated under it.

    Returns
    -------
    Event or None
        The event; None for one without any privacy (no noise at all, ``NonPrivateDpEvent``).

    Raises
    ------
    ValueError
        If medcrypt accounts for no such event, with the reason.
    """
    kind = type(event).__name__
    if kind not in _TRANSLATIONS:
        raise ValueError(f"medcrypt does not account for {kind}")
    translated = _TRANSLATIONS[kind](event, neighbors)
    refusal = None if translated is None else why_refused(translated, neighbors)
    if refusal is not None:
        raise ValueError(refusal)
    return translated


def _moved(neighbors: str) -> int:
    """Return how far, in norms of one record, a sum moves between neighbours."""
    return 2 if neighbors == "replace_one" else 1


def _gaussian(event: Any, neighbors: str) -> dp.Event | None:
    sigma = event.noise_multiplier / _moved(neighbors)
    return dp.Gaussian(sigma) if sigma else None


def _laplace(event: Any, neighbors: str) -> dp.Event | None:
    scale = event.noise_multiplier / _moved(neighbors)
    return dp.Laplace(scale) if scale else None


def _discrete_laplace(event: Any, neighbors: str) -> dp.Event | None:
    if event.sensitivity == 0:
        return _NOTHING
    if event.noise_parameter == 0:
        # Infinitely wide noise hides everything.
        return _NOTHING
    # Rounded to the unsafe side by at most one unit in the last place; a hair less noise covers it.
    scale = 1.0 / event.noise_parameter * (1.0 - 4e-16)
    return dp.DiscreteLaplace(scale, event.sensitivity * _moved(neighbors))


def _randomized_response(event: Any, _: str) -> dp.Event | None:
    if event.num_buckets == 1:
        return _NOTHING
    if event.noise_parameter == 0:
        return None
    return dp.RandomizedResponse(event.noise_parameter, event.num_buckets)


def _zcdp(event: Any, _: str) -> dp.Event | None:
    if event.xi == 0:
        return dp.ZeroConcentratedDP(event.rho) if event.rho else _NOTHING
    orders = dp.renyi.ORDERS
    return dp.RenyiCurve(orders, tuple((event.xi + event.rho * order) * (1.0 + 1e-15) for order in orders))


def _poisson(event: Any, neighbors: str) -> dp.Event | None:
    inner = to_event(event.event, neighbors)
    if event.sampling_probability == 0:
        return _NOTHING
    return None if inner is None else dp.PoissonSampled(event.sampling_probability, inner)


def _without_replacement(event: Any, neighbors: str) -> dp.Event | None:
    inner = to_event(event.event, neighbors)
    if event.sample_size == 0:
        return _NOTHING
    if inner is None:
        return None
    if not isinstance(inner, dp.Gaussian):
        raise ValueError(f"no proven amplification bound for {type(inner).__name__}; only for Gaussian")
    return dp.SampledWithoutReplacement(event.sample_size, event.source_dataset_size, inner)


def _composed(event: Any, neighbors: str) -> dp.Event | None:
    parts = [to_event(part, neighbors) for part in event.events]
    known = tuple(part for part in parts if part is not None)
    return dp.Composed(known) if len(known) == len(parts) else None


def _self_composed(event: Any, neighbors: str) -> dp.Event | None:
    inner = to_event(event.event, neighbors)
    if event.count == 0:
        return _NOTHING
    return None if inner is None else dp.Repeated(inner, event.count)


_TRANSLATIONS: dict[str, Callable[[Any, str], dp.Event | None]] = {
    "NoOpDpEvent": lambda *_: _NOTHING,
    "NonPrivateDpEvent": lambda *_: None,
    "GaussianDpEvent": _gaussian,
    "LaplaceDpEvent": _laplace,
    "DiscreteLaplaceDpEvent": _discrete_laplace,
    "RandomizedResponseDpEvent": _randomized_response,
    "ZCDpEvent": _zcdp,
    "PoissonSampledDpEvent": _poisson,
    "SampledWithoutReplacementDpEvent": _without_replacement,
    "ComposedDpEvent": _composed,
    "SelfComposedDpEvent": _self_composed,
}


class _Accounting:
    """What dp-accounting leaves to its accountants; its base class keeps the ledger and composes.

    Parameters
    ----------
    neighboring_relation
        ``ADD_OR_REMOVE_ONE`` (the default) or ``REPLACE_ONE``.

    Raises
    ------
    ValueError
        If it is another relation.
    """

    def __init__(self, neighboring_relation: Any = None) -> None:
        from dp_accounting import NeighboringRelation

        relation = (
            NeighboringRelation.ADD_OR_REMOVE_ONE if neighboring_relation is None else neighboring_relation
        )
        if getattr(relation, "name", None) not in _RELATIONS:
            raise ValueError(f"medcrypt proves no bounds under {relation}")
        super().__init__(relation)  # type: ignore[call-arg]  # dp-accounting's base class takes it
        self._accountant = dp.Accountant(_RELATIONS[relation.name])
        self._non_private = False

    def _maybe_compose(self, event: Any, count: int, do_compose: bool) -> Any:
        """Compose an event, or say why not."""
        from dp_accounting.privacy_accountant import PrivacyAccountant

        try:
            translated = to_event(event, self._accountant.neighbors)
        except (ValueError, TypeError) as error:
            return PrivacyAccountant.CompositionErrorDetails(invalid_event=event, error_message=str(error))
        if do_compose and count:
            if translated is None:
                self._non_private = True
            else:
                self._accountant.compose(translated, count)
        return None

    def get_epsilon(self, target_delta: float) -> float:
        """Return epsilon, from above.

        Parameters
        ----------
        target_delta
            In [0, 1].

        Returns
        -------
        float
            Epsilon; infinite where something ran without noise.
        """
        if target_delta == 1:
            return 0.0
        return math.inf if self._non_private else self._accountant.epsilon(target_delta)

    def get_delta(self, target_epsilon: float) -> float:
        """Return delta, from above.

        Parameters
        ----------
        target_epsilon
            >= 0.

        Returns
        -------
        float
            Delta; 1 where something ran without noise.
        """
        return 1.0 if self._non_private else self._accountant.delta(target_epsilon)


@functools.cache
def _accountant_class() -> type[Any]:
    """Return the accountant's class, a child of dp-accounting's."""
    try:
        from dp_accounting.privacy_accountant import PrivacyAccountant
    except ImportError:
        raise ImportError("this needs dp-accounting: pip install 'medcrypt[dp-accounting]'") from None
    return type(
        "MedcryptAccountant",
        (_Accounting, PrivacyAccountant),
        {"__doc__": _Accounting.__doc__, "__module__": __name__},
    )


def __getattr__(name: str) -> type[Any]:
    """Make `MedcryptAccountant` when it is first asked for: importing this module imports no framework."""
    if name == "MedcryptAccountant":
        return _accountant_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
