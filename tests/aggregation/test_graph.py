"""The graph: neighbours, holders, witnesses; the tails against a sum over all cases and against simulation."""

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import Identity
from medcrypt.aggregation import Plan
from medcrypt.aggregation.graph import FAILURE_BITS, Graph, graph_sizes
from medcrypt.aggregation.graph import _most as most
from reference import masking as twin

KEYS = [Identity.generate().recipient.verifying_key for _ in range(120)]
PLANS = [
    (200, 190, None), (200, 190, 0), (200, 190, 10), (200, 160, 10), (200, 180, 40), (1000, 950, None),
    (1000, 800, None), (1000, 950, 100), (3000, 2850, 150), (10_000, 9500, 1000),
]  # fmt: skip


def plan_of(clients: int, threshold: int, colluders: int | None = None, round_id: int = 0) -> Plan:
    keys = {f"hospital {i:03}": KEYS[i] for i in range(clients)}
    return Plan(
        clients=clients, threshold=threshold, clip=1.0, bits=8, shapes={"w": (3,)}, parties=keys,
        colluders=colluders, round_id=round_id,
    )  # fmt: skip


def upper_tail(population: int, marked: int, drawn: int, above: int) -> Fraction:
    """P[X > above] for X hypergeometric, term by term."""
    ways = sum(
        comb(marked, x) * comb(population - marked, drawn - x)
        for x in range(above + 1, min(marked, drawn) + 1)
        if drawn - x <= population - marked
    )
    return Fraction(ways, comb(population, drawn))


@given(population=st.integers(1, 400), data=st.data())
def test_the_tail_is_rare_and_the_next_one_is_not(population: int, data: st.DataObject) -> None:
    marked, drawn = (data.draw(st.integers(0, population)) for _ in range(2))
    rare = Fraction(1, 2 ** (FAILURE_BITS + (2 * population).bit_length()))
    found = most(population, marked, drawn, population)
    assert upper_tail(population, marked, drawn, found) <= rare
    assert found == 0 or upper_tail(population, marked, drawn, found - 1) > rare


@pytest.mark.parametrize(("clients", "threshold", "colluders"), PLANS)
def test_every_condition_holds_with_exact_tails(clients: int, threshold: int, colluders: int | None) -> None:
    sizes = graph_sizes(clients, threshold, colluders)
    half, missing, bad = sizes.degree // 2, clients - threshold, colluders or 0
    budget = Fraction(1, 2**FAILURE_BITS)
    delivered = clients * upper_tail(clients - 1, missing, sizes.degree, sizes.degree - sizes.shares)
    signed = upper_tail(clients, missing, sizes.witnesses, sizes.witnesses - sizes.quorum)
    assert delivered + signed <= budget
    two_sets = upper_tail(clients, bad, sizes.witnesses, 2 * sizes.quorum - sizes.witnesses - 1)
    if colluders is None:
        curious = clients // 10
        opened = clients * upper_tail(clients - 1, curious, sizes.degree, sizes.shares - 1)
        cut = clients * upper_tail(clients, curious + missing, half, half - 1)
        assert opened + cut + two_sets <= budget
    else:
        side = clients * upper_tail(clients, bad, half, sizes.shares - half - 2)
        opened = clients * upper_tail(clients - 1, bad, sizes.degree, sizes.shares - 1)
        assert side + opened + two_sets <= 2 * budget
        assert side + two_sets <= budget


def test_hospitals_are_all_neighbours_and_hundreds_are_not() -> None:
    assert graph_sizes(10, 6, None).degree == 9
    assert graph_sizes(99, 95, 2).degree == 98
    assert graph_sizes(1000, 950, None).degree < 60
    assert graph_sizes(1000, 950, 100).degree < 150
    assert graph_sizes(100_000, 95_000, None).degree < 70  # logarithmic
    assert graph_sizes(120, 70, 15).degree == 119  # nothing sparser is safe


@pytest.mark.parametrize(("clients", "threshold", "colluders"), [(7, 4, 0), (100, 95, None), (120, 114, 5)])
def test_being_neighbours_is_mutual_and_everybody_has_as_many(
    clients: int, threshold: int, colluders: int | None
) -> None:
    graph = Graph(plan_of(clients, threshold, colluders))
    for client in range(clients):
        neighbours = graph.neighbours(client)
        assert len(neighbours) == len(set(neighbours)) == graph.sizes.degree
        assert client not in neighbours
        assert list(neighbours) == sorted(neighbours)
        assert all(client in graph.neighbours(other) for other in neighbours)
        assert set(graph.holders(client)) == {client, *neighbours}
    assert len(set(graph.witnesses)) == graph.sizes.witnesses


@pytest.mark.parametrize(("clients", "threshold", "colluders"), [(100, 95, None), (120, 114, 5)])
def test_neighbours_and_witnesses_equal_those_of_the_twin(
    clients: int, threshold: int, colluders: int | None
) -> None:
    plan = plan_of(clients, threshold, colluders)
    graph, digest = Graph(plan), plan.digest
    for client in range(0, clients, 7):
        expected = twin.ring_neighbours(digest, clients, graph.sizes.degree, client)
        assert list(graph.neighbours(client)) == expected
    assert list(graph.witnesses) == sorted(twin.ring(digest, clients)[: graph.sizes.witnesses])


def test_the_order_changes_with_the_plan_and_with_nothing_else() -> None:
    one, again, other = (Graph(plan_of(110, 105, round_id=number)) for number in (0, 0, 1))
    assert one.neighbours(3) == again.neighbours(3)
    assert one.neighbours(3) != other.neighbours(3)


@pytest.mark.parametrize("colluders", [None, 6])
def test_random_dropouts_and_colluders_leave_one_component_and_enough_shares(colluders: int | None) -> None:
    """What the tails promise, on graphs with random bad clients."""
    plan = plan_of(120, 114, colluders)
    graph, draw = Graph(plan), random.Random(5)
    for _ in range(60):
        missing = set(draw.sample(range(120), 6))
        bad = set(draw.sample(range(120), 6))
        alive = set(range(120)) - missing
        for client in range(120):
            assert len(alive & set(graph.neighbours(client))) >= graph.sizes.shares
            assert len(bad & set(graph.neighbours(client))) < graph.sizes.shares
        honest = alive - bad
        seen, todo = set(), [min(honest)]
        while todo:
            client = todo.pop()
            if client not in seen:
                seen.add(client)
                todo += [other for other in graph.neighbours(client) if other in honest]
        assert seen == honest
