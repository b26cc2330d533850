"""Flower: medcrypt's accountant by the protocol ``flwr.serverapp.PrivacyAccountant``.

    accountant = MedcryptAccountant(flwr.serverapp.PrivacyConfig(...))
    strategy = DifferentialPrivacyServerSideFixedClipping(..., accountant=accountant)

Records are clients here. A noise multiplier is the standard deviation over the clipping norm of one client, as
everywhere in Flower; under ``replace-one`` a sum moves by twice the norm, which is taken into account.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from medcrypt.dp import Accountant, Event, Gaussian, PoissonSampled, SampledWithoutReplacement

__all__ = ["MedcryptAccountant"]

_VERSION = 1
_METHOD = "medcrypt"
_EVENT_FIELDS = ("noise_multiplier", "sample_size", "population_size")


class MedcryptAccountant:
    """An accountant for Flower's strategies; epsilon and delta are bounds from above.

    Parameters
    ----------
    config
        A ``flwr.serverapp.PrivacyConfig``: delta, population, neighbouring relation, sampling method, and perhaps
        a limit on epsilon. Flower itself refuses combinations without a proven bound.

    Raises
    ------
    ValueError
        If the combination is none of: Poisson samples or no amplification under ``add-or-remove-one``, samples
        without replacement under ``replace-one``.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._model = (config.sampling_method.value, config.neighboring_relation.value)
        if self._model not in {
            ("poisson", "add-or-remove-one"),
            ("no-amplification", "add-or-remove-one"),
            ("without-replacement", "replace-one"),
        }:
            raise ValueError(f"no bound is proven for {self._model[0]} sampling under {self._model[1]}")
        self._compositions: list[tuple[Any, int]] = []
        self._accountant = Accountant(self._model[1].replace("-", "_"))

    @property
    def config(self) -> Any:
        """The privacy configuration."""
        return self._config

    @property
    def num_releases(self) -> int:
        """The number of composed releases."""
        return sum(count for _, count in self._compositions)

    def compose(self, event: Any, count: int = 1) -> None:
        """Add a release that happened ``count`` times.

        Parameters
        ----------
        event
            A ``flwr.serverapp.GaussianPrivacyEvent``.
        count
            How often, >= 1.

        Raises
        ------
        ValueError
            If the event is for another population, or the count is not a positive integer.
        """
        self._accountant.compose(self._event(event), _count(count))
        self._compositions.append((event, count))

    def get_epsilon(self, delta: float) -> float:
        """Return epsilon at ``delta`` in (0, 1), from above."""
        if not 0.0 < _number("delta", delta) < 1.0:
            raise ValueError("delta must lie in (0, 1)")
        return self._accountant.epsilon(delta)

    def get_delta(self, epsilon: float) -> float:
        """Return delta at a finite ``epsilon`` >= 0, from above."""
        if _number("epsilon", epsilon) < 0.0:
            raise ValueError("epsilon must not be negative")
        return self._accountant.delta(epsilon)

    def get_privacy_spent(self, delta: float | None = None) -> Any:
        """Return a ``flwr.serverapp.PrivacySpent`` at ``delta``, by default the configuration's.

        Raises
        ------
        ImportError
            If Flower is not installed.
        """
        try:
            from flwr.serverapp import PrivacySpent
        except ImportError:
            raise ImportError("this needs flwr >= 1.42: pip install 'medcrypt[flower]'") from None
        target = self._config.target_delta if delta is None else delta
        return PrivacySpent(
            epsilon=self.get_epsilon(target),
            delta=target,
            num_releases=self.num_releases,
            accounting_method=_METHOD,
        )

    def would_exceed(self, event: Any, max_epsilon: float | None = None, count: int = 1) -> bool:
        """Tell whether composing an event would pass a limit on epsilon at the configuration's delta.

        Stopping when this says so is no filter: the rounds' events must not depend on earlier outputs.

        Parameters
        ----------
        event, count
            As for `compose`; nothing is changed.
        max_epsilon
            The limit, by default the configuration's.

        Raises
        ------
        ValueError
            If there is no limit, or an argument is outside its range.
        """
        limit = self._config.max_epsilon if max_epsilon is None else max_epsilon
        if limit is None:
            raise ValueError("max_epsilon is needed, here or in the configuration")
        if _number("max_epsilon", limit) <= 0.0:
            raise ValueError("max_epsilon must be positive")
        return self._accountant.would_exceed(
            self._event(event), epsilon=limit, delta=self._config.target_delta, count=_count(count)
        )

    def state_dict(self) -> dict[str, object]:
        """Return the state in JSON types, in the layout of Flower's own accountant.

        Returns
        -------
        dict
            ``schema_version``, ``backend``, ``config`` and ``compositions``.
        """
        return {
            "schema_version": _VERSION,
            "backend": _METHOD,
            "config": self._config_state(),
            "compositions": [
                {"event": {name: getattr(event, name) for name in _EVENT_FIELDS}, "count": count}
                for event, count in self._compositions
            ],
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Replace the history by one that `state_dict` returned.

        Raises
        ------
        ValueError
            If the state is malformed, of another version, backend or configuration. Nothing is changed then.
        """
        if not isinstance(state, dict) or set(state) != {
            "schema_version",
            "backend",
            "config",
            "compositions",
        }:
            raise ValueError("not a state of this accountant")
        if state["schema_version"] != _VERSION or state["backend"] != _METHOD:
            raise ValueError("the state is of another version or another backend")
        if state["config"] != self._config_state():
            raise ValueError("the state is of another configuration")
        if not isinstance(state["compositions"], list):
            raise ValueError("compositions must be a list")
        fresh = MedcryptAccountant(self._config)
        for entry in state["compositions"]:
            if not isinstance(entry, dict) or set(entry) != {"event", "count"}:
                raise ValueError("a composition needs exactly the fields 'event' and 'count'")
            fresh.compose(self._read_event(entry["event"]), entry["count"])
        self._compositions, self._accountant = fresh._compositions, fresh._accountant

    def _event(self, event: Any) -> Event:
        """Translate a release."""
        if event.population_size != self._config.population_size:
            raise ValueError(
                f"the event is for a population of {event.population_size}, the configuration for one of "
                f"{self._config.population_size}"
            )
        match self._model[0]:
            case "poisson":
                rate = event.sample_size / event.population_size
                return PoissonSampled(rate, Gaussian(event.noise_multiplier))
            case "without-replacement":
                # Replacing a client moves the sum by twice the clipping norm.
                halved = Gaussian(0.5 * event.noise_multiplier)
                return SampledWithoutReplacement(event.sample_size, event.population_size, halved)
        return Gaussian(event.noise_multiplier)

    def _config_state(self) -> dict[str, object]:
        """Return the configuration in JSON types."""
        return {
            "target_delta": self._config.target_delta,
            "population_size": self._config.population_size,
            "neighboring_relation": self._config.neighboring_relation.value,
            "sampling_method": self._config.sampling_method.value,
            "max_epsilon": self._config.max_epsilon,
        }

    @staticmethod
    def _read_event(data: object) -> Any:
        """Read a release from a state."""
        from flwr.serverapp import GaussianPrivacyEvent

        if not isinstance(data, dict) or set(data) != set(_EVENT_FIELDS):
            raise ValueError(f"an event needs exactly the fields {sorted(_EVENT_FIELDS)}")
        try:
            return GaussianPrivacyEvent(**data)
        except TypeError as error:
            raise ValueError(str(error)) from None


def _number(name: str, value: object) -> float:
    """Return a finite number, or refuse with the error that Flower expects."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number")
    return float(value)


def _count(count: object) -> int:
    """Return a positive count, or refuse with the error that Flower expects."""
    if isinstance(count, bool) or not isinstance(count, int) or count <= 0:
        raise ValueError("count must be a positive integer")
    return count
