"""Histograms, quantiles, sparse vector: exact laws, and the privacy that they claim."""

import contextlib
import copy
import math
import pickle
import threading
import time
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.mechanisms.quantile import _chooser, _Powers
from medcrypt.dp.noise.exact import LazyUniform
from medcrypt.errors import BudgetError

RELATIONS = ("add_or_remove_one", "replace_one")


def probabilities(mechanism, records):
    """The law of a quantile mechanism by its definition, in 50 digits."""
    a, b, eta = mechanism._a, mechanism._b, mp.mpf(mechanism._numerator) / mp.mpf(2) ** mechanism._shift
    first, last, step = mechanism._first, mechanism._last, mechanism.granularity
    kept = [min(max(math.floor(x / step), first), last) for x in records]
    weights = []
    for v in range(first, last + 1):
        below, upto = sum(x < v for x in kept), sum(x <= v for x in kept)
        score = max(0, b * below - a * len(kept), a * len(kept) - b * upto)
        weights.append(mp.mpf(2) ** (-eta * score))
    total = sum(weights)
    return [weight / total for weight in weights]


RECORDS = st.lists(st.integers(-2, 12), max_size=8)


@given(
    RECORDS,
    st.integers(-2, 12),
    st.integers(-2, 12),
    st.sampled_from([0.5, 0.25, 0.9]),
    st.sampled_from([0.1, 1.0, 7.0]),
    st.sampled_from(RELATIONS),
)
def test_the_log_ratios_of_a_quantile_lie_in_an_interval_of_length_epsilon(
    records, x, y, q, epsilon, relation
):
    mechanism = dp.QuantileMechanism(q, epsilon, (0, 10), neighbors=relation, granularity=1)
    with mp.workdps(50):
        here = probabilities(mechanism, [*records, x])
        there = probabilities(mechanism, records if relation == "add_or_remove_one" else [*records, y])
        ratios = [mp.log(p / q) for p, q in zip(here, there, strict=True)]
        assert max(ratios) - min(ratios) <= epsilon
        assert max(map(abs, ratios)) <= epsilon


@given(RECORDS, st.sampled_from([0.5, 0.1]), st.sampled_from([0.3, 4.0]))
def test_a_quantile_is_chosen_where_the_exact_law_says(records, q, epsilon):
    """For many uniform numbers, the interval whose exact cumulative probabilities enclose it."""
    mechanism = dp.QuantileMechanism(q, epsilon, (0, 10), granularity=1)
    ends, scores = mechanism._intervals(np.array(records, dtype=np.int64))
    chosen = _chooser(np.diff(ends).tolist(), scores, mechanism._numerator, mechanism._shift)
    with mp.workdps(50):
        exact = probabilities(mechanism, records)
        upto = np.cumsum(exact)
        for k in range(1, 40):
            word = k * 2**64 // 40 + 12345
            uniform = mp.mpf(word) / mp.mpf(2) ** 64
            place = chosen(LazyUniform(word, lambda: 7))
            assert ends[place] < 0 or upto[ends[place]] <= uniform
            assert uniform < upto[ends[place + 1]]


def test_an_undecided_choice_asks_for_more_bits_and_more_digits():
    """A uniform number that follows the edge between two candidates for 640 bits, and then lies on either side."""
    chosen = _chooser([1, 2, 1], [3, 0, 3], 1, 1)  # weights 2^-1.5, 2, 2^-1.5
    with mp.workdps(400):
        edge = int(mp.floor(mp.mpf(2) ** -1.5 / (2 + mp.mpf(2) ** -0.5) * mp.mpf(2) ** 640))
    places = []
    for value in (edge - 1, edge + 1):
        words = iter((value >> (64 * k)) & (2**64 - 1) for k in range(9, -1, -1))
        places.append(chosen(LazyUniform(next(words), lambda words=words: next(words))))
    assert places == [0, 1]


@given(st.integers(0, 2**70), st.integers(0, 70), st.sampled_from([64, 192, 400]))
def test_powers_of_two_are_enclosed(exponent, shift, precision):
    with mp.workdps(300):
        low = _Powers(precision, shift).below(exponent)
        if exponent >> shift > 2 * precision:
            assert low == 0
            return
        true = mp.mpf(2) ** (precision - mp.mpf(exponent) / mp.mpf(2) ** shift)
        assert low <= true < low + _Powers.error


def test_the_released_quantiles_have_their_law():
    mechanism = dp.QuantileMechanism(0.5, 2.0, (0, 15), granularity=1)
    records = [3, 3, 4, 9, 11]
    counts = Counter(mechanism.release_many(records, 20_000).astype(int).tolist())
    expected = [20_000 * float(p) for p in probabilities(mechanism, records)]
    statistic = sum((counts[v] - e) ** 2 / e for v, e in enumerate(expected))
    assert (
        statistic < 15 + 5.4 * math.sqrt(2 * 15) + 30
    )  # chi-square of 15 degrees: exceeded with less than 1e-7


def test_a_quantile_of_many_records_is_near_the_true_one():
    rng = np.random.default_rng(3)
    records = rng.normal(50.0, 10.0, 20_001)
    mechanism = dp.QuantileMechanism(Fraction(9, 10), 1.0, (0.0, 200.0))
    assert abs(mechanism.release(records) - np.quantile(records, 0.9)) < 0.5
    assert 0.0 <= mechanism.release([]) <= 200.0


def test_bad_quantiles_are_refused():
    for q in (0.0, 1.0, -0.1, 1e-5, math.nan):
        with pytest.raises(ValueError, match="quantile"):
            dp.QuantileMechanism(q, 1.0, (0, 1))
    for bounds in ((1, 1), (2, 1), (-1.7e308, 1.7e308)):
        with pytest.raises(ValueError, match="bounds"):
            dp.QuantileMechanism(0.5, 1.0, bounds)
    for step in (0.3, 2.0**-60, 0.0):
        with pytest.raises(ValueError, match="granularity"):
            dp.QuantileMechanism(0.5, 1.0, (0.1, 0.9), granularity=step)
    with pytest.raises(ValueError, match="no candidate"):
        dp.QuantileMechanism(0.5, 1.0, (0.1, 0.9), granularity=1)
    mechanism = dp.QuantileMechanism(0.5, 1.0, (0, 1))
    with pytest.raises(ValueError, match="finite"):
        mechanism.release([math.nan])
    with pytest.raises(ValueError, match="shape"):
        mechanism.release([[1.0]])


# --- Histograms


@pytest.mark.parametrize(("relation", "sensitivity"), [("add_or_remove_one", 1), ("replace_one", 2)])
def test_a_histogram_counts_and_pays_for_the_bins_that_one_record_moves(relation, sensitivity):
    mechanism = dp.HistogramMechanism("abc", 1e-9, neighbors=relation)
    assert mechanism.release("abacaxz") == {"a": 3, "b": 1, "c": 1}
    assert mechanism.event == dp.DiscreteLaplace(1e-9 * sensitivity, sensitivity)
    assert dp.CountMechanism(1e-9).release("abacaxz") == 7


def test_the_bins_of_a_histogram_are_different():
    for bins in ([], "aba"):
        with pytest.raises(ValueError, match="different"):
            dp.HistogramMechanism(bins, 1.0)


def test_a_secret_bin_of_one_record_is_mentioned_with_the_stated_probability():
    mechanism = dp.PrivateBinsMechanism(scale=1.0, delta=0.04)
    records = [f"patient {k}" for k in range(40_000)]
    mentioned = len(mechanism.release(records))
    delta = mechanism.event.delta
    assert delta <= 0.04 * (1 + 1e-11)
    exact = math.exp(-(mechanism.threshold - 1)) / (1 + math.exp(-1))
    assert delta == pytest.approx(exact, rel=1e-9)
    assert abs(mentioned - 40_000 * exact) < 5.4 * math.sqrt(40_000 * exact)


def test_large_secret_bins_are_released_and_replacing_costs_twice():
    mechanism = dp.PrivateBinsMechanism(scale=2.0, delta=1e-9, neighbors="replace_one")
    assert set(mechanism.release(["x"] * 500 + ["y"] * 400 + ["z"])) == {"x", "y"}
    once = dp.PrivateBinsMechanism(scale=2.0, delta=1e-9).event
    assert mechanism.event.epsilon == 2 * once.epsilon
    assert mechanism.event.delta == 2 * once.delta
    assert mechanism.release([]) == {}
    for delta in (0.0, 0.5, -1.0, math.nan):
        with pytest.raises(ValueError, match="delta"):
            dp.PrivateBinsMechanism(1.0, delta)


def test_equal_labels_cannot_tell_whose_object_was_released():
    mechanism = dp.PrivateBinsMechanism(scale=2.0, delta=1e-8)
    [label] = mechanism.release([np.int64(1)] + [1] * 1000)
    assert type(label) is int
    [label] = mechanism.release([np.str_("CT")] + ["CT"] * 1000)
    assert type(label) is str
    [label] = mechanism.release(np.array([b"CT"] * 1000))
    assert type(label) is bytes


class Word(str):
    """Equal to a str, and still another object."""

    __slots__ = ()

    def __repr__(self):
        return "Word"


@pytest.mark.parametrize(
    "first", [True, np.True_, 1.0, -0.0, Decimal(1), Fraction(1), Word("a"), None, ("a",), np.float64(1.0)]
)
def test_labels_of_other_types_are_refused(first):
    with pytest.raises(TypeError, match="a label must be"):
        dp.PrivateBinsMechanism(scale=2.0, delta=1e-8).release([first] * 1000)


@pytest.mark.parametrize("mixed", [["a", 1], [1, b"a"], [b"a", "a"]])
def test_labels_of_different_types_are_refused(mixed):
    with pytest.raises(TypeError, match="all str, all bytes or all int"):
        dp.PrivateBinsMechanism(scale=2.0, delta=1e-8).release(mixed * 1000)


@given(st.lists(st.text(max_size=3), max_size=9) | st.lists(st.integers(), max_size=9))
def test_secret_bins_come_out_sorted_by_label(labels):
    released = dp.PrivateBinsMechanism(scale=1.0, delta=1e-8).release(labels * 200)
    assert list(released) == sorted(set(labels))


# --- Sparse vector


def test_a_sparse_vector_stops_after_its_positives():
    vector = dp.SparseVector(1e6, threshold=12.0, clip=5.0, positives=2)
    answers = [vector.above([100.0] * n) for n in (1, 2, 3, 1, 0)]
    assert answers == [False, False, True, False, False]
    assert vector.above([5.0, 5.0, 5.0])
    with pytest.raises(BudgetError):
        vector.above([1.0])
    assert vector.draws == 7
    assert vector.event == dp.PureDP(1e6)


def test_a_sparse_vector_is_as_private_as_it_says():
    """The law of its first answers, on neighbouring streams, by summing over the noise of the threshold."""
    epsilon, clip = 1.0, 1
    s_threshold, s_question = 2.0 / epsilon, 4.0 / epsilon
    vector = dp.SparseVector(epsilon, 0.0, clip, granularity=1)
    assert vector._question == Fraction(s_question)

    def upper_tail(k, s):
        """P[Z > k] of discrete Laplace noise."""
        r = math.exp(-1 / s)
        return r ** (k + 1) / (1 + r) if k >= 0 else 1 - r ** (-k) / (1 + r)

    def law(questions, answers):
        total, r = 0.0, math.exp(-1 / s_threshold)
        for t in range(-150, 151):
            p = (1 - r) / (1 + r) * r ** abs(t)
            for question, answer in zip(questions, answers, strict=True):
                above = upper_tail(t - question, s_question)
                p *= above if answer else 1 - above
            total += p
        return total

    ratios = []
    for count in (1, 3, 8):
        answers = [False] * (count - 1) + [True]
        first = law([0] * (count - 1) + [0], answers)
        second = law([1] * (count - 1) + [-1], answers)
        ratios += [first / second, second / first]
    assert max(ratios) <= math.exp(epsilon)


def test_bad_parameters_of_a_sparse_vector_are_refused():
    for wrong in (
        {"epsilon": 0.0},
        {"clip": 0.0},
        {"positives": 0},
        {"threshold": math.nan},
        {"neighbors": "x"},
    ):
        with pytest.raises(ValueError, match="must"):
            dp.SparseVector(**({"epsilon": 1.0, "threshold": 1.0, "clip": 1.0} | wrong))
    with pytest.raises(ValueError, match="finite"):
        dp.SparseVector(1.0, 1.0, 1.0).above([math.nan])


def test_threads_share_the_answers_of_a_sparse_vector(monkeypatch):
    """Every draw waits, so that whoever is not locked out has passed the check too."""
    vector = dp.SparseVector(epsilon=1e6, threshold=0.5, clip=1.0, positives=2)
    drawn = dp.noise.discrete_laplace

    def slow(scale):
        time.sleep(0.02)
        return drawn(scale)

    monkeypatch.setattr("medcrypt.dp.noise.discrete_laplace", slow)
    given_out, start = [], threading.Barrier(5)

    def ask():
        start.wait()
        with contextlib.suppress(BudgetError):
            given_out.append(vector.above([1.0]))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given_out == [True, True]
    with pytest.raises(BudgetError):
        vector.above([1.0])


def test_a_sparse_vector_that_is_past_its_answers_stays_closed():
    vector = dp.SparseVector(epsilon=1e6, threshold=0.5, clip=1.0)
    vector._left = -1
    with pytest.raises(BudgetError):
        vector.above([0.0])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_sparse_vector_is_not_copied(duplicate):
    with pytest.raises(TypeError, match="twice"):
        duplicate(dp.SparseVector(epsilon=1.0, threshold=5.0, clip=1.0))


def test_answers_for_audits_are_those_of_a_sparse_vector():
    vector = dp.SparseVector(1e9, threshold=2.5, clip=1.0, positives=2)
    questions = [[1.0], [1.0] * 3, [1.0] * 2, [5.0] * 4, [1.0] * 9]
    answers = vector.release_many(questions, 7)
    assert answers.tolist() == [[0, 1, 0, 1, -1]] * 7
    assert [vector.above(question) for question in questions[:4]] == [False, True, False, True]
    assert vector.release_many(questions, 0).shape == (0, 5)


def test_secret_bins_for_audits_are_those_of_a_release():
    mechanism = dp.PrivateBinsMechanism(scale=1e-3, delta=1e-9)
    records = ["a"] * mechanism.threshold + ["b"] * (mechanism.threshold - 1) + ["c"] * 50
    assert mechanism.release(records) == {"a": mechanism.threshold, "c": 50}
    assert mechanism.release_many(records, 3).tolist() == [[2, mechanism.threshold + 50]] * 3
    assert mechanism.release_many([], 2).tolist() == [[0, 0]] * 2
