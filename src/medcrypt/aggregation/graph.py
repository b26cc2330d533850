"""Who masks with whom, who holds whose shares, and who witnesses: the graph of the masking back-end.

Below 100 clients everybody is everybody's neighbour (Bonawitz et al. 2017). From there on clients stand on a ring
in an order that the plan hash fixes, and a client's neighbours are the k that stand nearest to it, k/2 on each
side: the Harary graph over a random order of Bell et al. 2020, section 3. A secret of a client is shared among
itself and its neighbours; t shares open it.

k and t follow from numbers in the plan alone: n clients, of which n - `threshold` may drop out and `colluders` = c may
pool what they know with the server. Neither group has anything to do with the order, so how many of either stand in
given m places is hypergeometric, and its exact tails (integers, no approximation) give two bounds, each
with probability of at least 1 - 2^-40 for all clients at once:

* `_most(n, c, m)`: no m places hold more colluders than this;
* t, fewest of any client's k neighbours that are still there.

**Against a server that lies** (`colluders` is a number) k is the smallest with

    t >= k/2 + most(n, c, k/2) + 2.

Say an honest client x is in the agreed set U and t shares of its self-mask come together. At least t - 1 are
neighbours', at most k/2 stand on one side, so more than most(n, c, k/2) stand on the other: an honest neighbour
in U on either side. Each holds x's share only because it masked with x, and all of U masked by one list of
participants (its hash is in every signed upload). So whatever is opened reaches from honest client to honest client
around the whole ring in hops of at most k/2, every honest client of U is adjacent to one of them, and its mask with
that one hides both sums until it too is opened: only the sum of all honest clients in U can be.

**Where the server follows the protocol** (`colluders` is None) a tenth of the clients is taken to be
curious, and k is the smallest for which t exceeds the curious among any k neighbours and no k/2 places in a row
hold only curious and missing clients.

The agreed set is signed by witnesses: everybody in the complete graph, else the first w places of the ring. With
2 quorum > w + most(n, c, w) any two quorums have an honest witness in common, who signs once: there are never two
agreed sets. And a quorum of the witnesses is still there but with probability 2^-40.

That colluders have nothing to do with the order is an assumption about how the plan came about: see
`docs/explanation/masking.md`.
"""

import functools
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import comb

from medcrypt.aggregation.plan import Plan

__all__ = ["Graph", "Sizes", "graph_sizes"]

SPARSE_FROM = 100  # clients
FAILURE_BITS = 40
CURIOUS_SHARE = 10  # one client of so many is taken to be curious where the server follows the protocol
_DOMAIN = b"medcrypt/aggregation/graph/v1\x00"


@dataclass(frozen=True, slots=True)
class Sizes:
    """The numbers of a graph.

    Parameters
    ----------
    degree
        k, the neighbours of each client.
    shares
        t, how many of a client's k + 1 holders (itself and its neighbours) open one of its secrets.
    witnesses
        w, how many clients sign the agreed set for all.
    quorum
        How many of their signatures a client demands.
    """

    degree: int
    shares: int
    witnesses: int
    quorum: int


class Graph:
    """Neighbours, holders and witnesses of one plan; clients are numbered as in `Plan.client_names`.

    Parameters
    ----------
    plan
        The plan; its parties are pinned.

    Examples
    --------
    >>> from medcrypt import Identity
    >>> keys = {f"hospital {i}": Identity.generate().recipient for i in range(3)}
    >>> plan = Plan(clients=3, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)}, parties=keys)
    >>> Graph(plan).neighbours(1), Graph(plan).holders(1)
    ((0, 2), (0, 1, 2))
    """

    def __init__(self, plan: Plan) -> None:
        self.clients = plan.clients
        self._numbers = {name: number for number, name in enumerate(plan.client_names)}
        self.sizes = graph_sizes(plan.clients, plan.threshold, plan.colluders)
        self._ring = _ring(plan.digest, plan.clients)
        self._places = {client: place for place, client in enumerate(self._ring)}

    def number(self, name: str) -> int | None:
        """Return the number of the client of that name; None if it is no client."""
        return self._numbers.get(name)

    def neighbours(self, client: int) -> tuple[int, ...]:
        """Return the clients that this one masks with, in ascending order."""
        if self.sizes.degree == self.clients - 1:
            return tuple(other for other in range(self.clients) if other != client)
        place, reach = self._places[client], self.sizes.degree // 2
        steps = [*range(-reach, 0), *range(1, reach + 1)]
        return tuple(sorted(self._ring[(place + step) % self.clients] for step in steps))

    def holders(self, client: int) -> tuple[int, ...]:
        """Return who holds shares of this client's secrets, in ascending order: its neighbours and itself."""
        return tuple(sorted((*self.neighbours(client), client)))

    @functools.cached_property
    def witnesses(self) -> tuple[int, ...]:
        """Who signs the agreed set for all, in ascending order."""
        return tuple(sorted(self._ring[: self.sizes.witnesses]))


def _ring(digest: bytes, clients: int) -> tuple[int, ...]:
    """Return the clients in the order of the hash of plan and number."""

    def rank(client: int) -> bytes:
        return hashlib.sha256(_DOMAIN + digest + struct.pack(">I", client)).digest()

    return tuple(sorted(range(clients), key=rank))


@functools.lru_cache(maxsize=256)
def graph_sizes(clients: int, threshold: int, colluders: int | None) -> Sizes:
    """Return degree, share threshold, witnesses and quorum for a plan's numbers.

    Parameters
    ----------
    clients
        n.
    threshold
        Fewest clients that stay to the end: n - `threshold` may drop out.
    colluders
        How many may work with a server that breaks the protocol; None where the server follows it.

    Returns
    -------
    Sizes
        The complete graph below 100 clients, and where no sparser one is safe.

    Examples
    --------
    >>> graph_sizes(10, 6, 1)
    Sizes(degree=9, shares=6, witnesses=10, quorum=6)
    >>> graph_sizes(1000, 950, None)
    Sizes(degree=..., shares=..., witnesses=..., quorum=...)
    """
    complete = Sizes(clients - 1, threshold, clients, threshold)
    if clients < SPARSE_FROM:
        return complete
    degree = _smallest(lambda half: _shares(clients, threshold, colluders, 2 * half) > 0, (clients - 2) // 2)
    if degree is None:
        return complete
    witnesses = _smallest(lambda count: _quorum(clients, threshold, colluders or 0, count) > 0, clients)
    if witnesses is None:
        return complete
    shares = _shares(clients, threshold, colluders, 2 * degree)
    return Sizes(2 * degree, shares, witnesses, _quorum(clients, threshold, colluders or 0, witnesses))


def _shares(clients: int, threshold: int, colluders: int | None, degree: int) -> int:
    """Return t, the most shares that a degree is sure to deliver; 0 where these are too few to be safe."""
    missing = clients - threshold
    shares = degree - _most(clients - 1, missing, degree, clients)
    if colluders is None:
        curious = clients // CURIOUS_SHARE
        split = _most(clients, curious + missing, degree // 2, clients) == degree // 2
        safe = not split and shares > _most(clients - 1, curious, degree, clients)
    else:
        safe = shares >= degree // 2 + _most(clients, colluders, degree // 2, clients) + 2
    return shares if safe and shares > 1 else 0


def _quorum(clients: int, threshold: int, colluders: int, witnesses: int) -> int:
    """Return how many of the witnesses are sure to be there; 0 where two sets could each have as many."""
    quorum = witnesses - _most(clients, clients - threshold, witnesses, clients)
    return quorum if 2 * quorum > witnesses + _most(clients, colluders, witnesses, clients) else 0


def _most(population: int, marked: int, drawn: int, clients: int) -> int:
    """Return the smallest x with P[X > x] <= 2^-40 / (2 clients) for X hypergeometric, summed exactly.

    At most 2 `clients` such events have to fail together. From one term of the tail to the next:
    C(K, x-1) C(N-K, m-x+1) = C(K, x) C(N-K, m-x) x (N-K-m+x) / ((K-x+1) (m-x+1)).
    """
    whole = comb(population, drawn) >> (FAILURE_BITS + (2 * clients).bit_length())
    x = min(marked, drawn)
    term, tail = comb(marked, x) * comb(population - marked, drawn - x), 0
    while x > 0 and tail + term <= whole:
        tail += term
        term = term * x * (population - marked - drawn + x) // ((marked - x + 1) * (drawn - x + 1))
        x -= 1
    return x


def _smallest(holds: Callable[[int], bool], last: int) -> int | None:
    """Return the smallest of 1, ..., last that holds, by doubling and halving; None if none does.

    Tails jump, so between neighbouring numbers `holds` is not quite monotone: what is returned holds in any case.
    """
    high = 1
    while not holds(high):
        if high == last:
            return None
        high = min(2 * high, last)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
