"""Dealer, two servers and client: what each says to whom, over any transport of whole messages.

A party is a generator. It yields `Send`, `Receive`, `Swap`, `Accept` and `Drop`, is sent what it asked for, and knows
no socket; `drive` runs one over transports such as `Channel`. A failure of a transport is thrown into the generator
where it waits, as `ProtocolError`. ::

    dealer     circuit                                  -> material, to both servers
    server     circuit, a share of the weights          -> a share of the classes, to the client
    client     inputs, in two shares, one to each server -> classes

    session    every party but the client contributes 32 random bytes: its name is the hash of them and of the circuit
    setup      material and one message for each step with weights
    batch      server 0 leads. It names a number, used once; both burn its material, from stock or straight from the
               dealer, and evaluate; both send their shares to the client

Every message begins with its kind, 16 bytes of the session's name, and a number: of the batch, of a step, or of a
round. Whatever does not fit ends the session, or the client's connection where the client is to blame. Material is
never used twice: numbers only grow, and a number is burnt before the first message that depends on its material.

What each sees::

    dealer            the circuit, the sizes of batches and when they are asked for
    each server       the same, and numbers that are uniform whatever weights and inputs are
    client            the circuit, and the classes, or the scores of a model that reveals them
    whoever listens   sizes and times of messages, if the transport is a `Channel`

This holds against parties that follow the protocol, and as long as no two of dealer, server 0 and server 1 put
together what they see. A server that deviates can change results without being noticed.
"""

import bisect
import contextlib
import hashlib
import math
import os
import struct
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import ProtocolError
from medcrypt.inference import channel
from medcrypt.inference.circuit import Circuit, Evaluation, Preparation
from medcrypt.inference.preprocessing import MemoryStock, Stock
from medcrypt.inference.report import Answer
from medcrypt.inference.sharing import Exchange, Material, Words, material_size

__all__ = [
    "MAX_BATCH",
    "Accept",
    "Client",
    "Conversation",
    "Drop",
    "Receive",
    "Send",
    "Swap",
    "Transport",
    "dealer",
    "drive",
    "largest_batch",
    "server",
]

T = TypeVar("T")

MAX_BATCH = 1 << 16
"""Most inputs of one batch, whatever the circuit; see `largest_batch`."""

MAX_MATERIAL = 1 << 28
"""Most bytes of material of a batch of several inputs: servers hold them, and each message has a deadline."""

DEALER, CLIENT, SERVERS = "dealer", "client", ("server 0", "server 1")
_DOMAIN = b"medcrypt/inference/session/v1\x00"
_HEAD = struct.Struct(">Q16sQ")  # kind, session, number; what follows keeps its alignment
_HELLO, _SESSION, _CONFIRM, _DEAL, _MATERIAL, _CLIENT, _WELCOME = range(1, 8)
_START, _READY, _REFUSED, _QUERY, _ROUND, _RESULT, _GONE, _PREPARE, _END = range(8, 17)
_NO_SESSION = bytes(32)
_ROOM = 1 << 10  # what a message holds besides words and material
_SMALL = 1 << 16  # two messages of this size fit into the buffers of any transport at the same time


class Transport(Protocol):
    """What carries messages to and from one other party: whole, in order, authentic."""

    def send(self, *parts: bytes) -> None:
        """Send one message made of parts, or raise `ProtocolError`."""

    def receive(self) -> bytes:
        """Return the next message, or raise `ProtocolError` when it does not come in time."""

    def wait(self) -> None:
        """Wait without a limit until something has come, be it the end."""

    def close(self) -> None:
        """Say that nothing follows."""


@dataclass(frozen=True)
class Send:
    """Send a message."""

    peer: str
    parts: tuple[bytes, ...]


@dataclass(frozen=True)
class Receive:
    """Receive a message; a patient party waits as long as it takes."""

    peer: str
    patient: bool = False


@dataclass(frozen=True)
class Swap:
    """Send a message and receive one of the same size.

    Large ones go one after the other, `first` before the other's: both at once could fill the buffers in between.
    """

    peer: str
    parts: tuple[bytes, ...]
    first: bool


@dataclass(frozen=True)
class Accept:
    """Let a client connect; a patient party waits as long as it takes."""

    peer: str
    patient: bool = False


@dataclass(frozen=True)
class Drop:
    """Forget a connection."""

    peer: str


Action = Send | Receive | Swap | Accept | Drop
Conversation = Generator[Action, Any, T]


def drive(
    party: Conversation[T],
    transports: dict[str, Transport],
    accept: Callable[[str, bool], Transport] | None = None,
) -> T:
    """Run a party to its end.

    Parameters
    ----------
    party : generator
        From `dealer`, `server` or a method of `Client`.
    transports : dict
        By the other party's name; those of clients come and go.
    accept : callable, optional
        Returns a transport to a party that connects: of its name, waiting patiently or not.

    Returns
    -------
    object
        What the party returns.

    Raises
    ------
    ProtocolError
        Another party failed, and this one cannot go on.
    """
    reply: Any = None
    failure: ProtocolError | None = None
    while True:
        try:
            action = party.send(reply) if failure is None else party.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result
        reply = failure = None
        try:
            reply = _perform(action, transports, accept)
        except ProtocolError as error:
            failure = error


def _perform(
    action: Action, transports: dict[str, Transport], accept: Callable[[str, bool], Transport] | None
) -> bytes | None:
    """Do what a party asks for."""
    if isinstance(action, Accept):
        if accept is None:
            raise ProtocolError("nobody can connect here", action.peer)
        transports[action.peer] = accept(action.peer, action.patient)
        return None
    if isinstance(action, Drop):
        gone = transports.pop(action.peer, None)
        if gone is not None:
            with contextlib.suppress(ProtocolError):  # it is gone either way
                gone.close()
        return None
    if action.peer not in transports:
        raise ProtocolError("is not connected", action.peer)
    transport = transports[action.peer]
    if isinstance(action, Send):
        transport.send(*action.parts)
        return None
    if isinstance(action, Receive):
        if action.patient:
            transport.wait()
        return transport.receive()
    if action.first or sum(map(len, action.parts)) <= _SMALL:
        transport.send(*action.parts)
        return transport.receive()
    received = transport.receive()
    transport.send(*action.parts)
    return received


def largest_batch(circuit: Circuit) -> int:
    """Return how many inputs fit into one batch.

    Each message, of a step's material, of a round, of a query or its result, must be one frame of a `Channel`, and the
    material of a batch of several inputs at most `MAX_MATERIAL` bytes.

    Parameters
    ----------
    circuit : Circuit
        The model.

    Returns
    -------
    int
        At most `MAX_BATCH`; 0 if not even one input fits.

    Examples
    --------
    >>> from medcrypt import inference
    >>> model = inference.Sequential([inference.Dense([[1.0, -1.0], [0.5, 2.0]]), inference.Argmax()])
    >>> largest_batch(model.compile().circuit)
    65536
    """
    # All sizes grow with the batch: of 0, 1, ..., MAX_BATCH inputs, those that fit come first.
    return bisect.bisect_left(range(1, MAX_BATCH + 1), True, key=lambda size: not _fits(circuit, size))


def _fits(circuit: Circuit, batch: int) -> bool:
    """Tell whether a batch's messages are short enough, and its material is not too much."""
    material = [material_size(step.layout(batch)) for step in circuit.steps]
    words = max(math.prod(circuit.input_shape), math.prod(circuit.output_shape))
    longest = max(8 * batch * words, *material, *(step.sent(batch) for step in circuit.steps), 0)
    rounds = sum(step.rounds for step in circuit.steps)
    return longest + _ROOM + 8 * rounds <= channel.MAX_FRAME and (batch == 1 or sum(material) <= MAX_MATERIAL)


def _check_batch(circuit: Circuit, size: int) -> None:
    """Refuse a batch of no inputs, or of too many."""
    most = largest_batch(circuit)
    if most == 0:
        raise ValueError("the circuit is too large: one input takes longer messages than a channel carries")
    if not 1 <= size <= most:
        raise ValueError(f"a batch for this circuit has 1 to {most} inputs, not {size}")


# --- messages -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """Messages with one other party, within one session."""

    peer: str
    session: bytes = _NO_SESSION

    def send(self, kind: int, number: int, *parts: bytes) -> Send:
        """Return the action of sending a message."""
        return Send(self.peer, (_HEAD.pack(kind, self.session[:16], number), *parts))

    def receive(self, kind: int, number: int) -> Conversation[bytes]:
        """Receive a message of one kind and number."""
        _, at, body = yield from self.any(kind)
        if at != number:
            self.fail("sent a message out of turn")
        return body

    def any(self, *kinds: int, patient: bool = False) -> Conversation[tuple[int, int, bytes]]:
        """Receive a message of one of some kinds; return kind, number and content."""
        message = yield Receive(self.peer, patient)
        return self.parsed(message, *kinds)

    def parsed(self, message: bytes, *kinds: int) -> tuple[int, int, bytes]:
        """Return kind, number and content of a message."""
        if len(message) < _HEAD.size:
            self.fail("sent a message that is too short")
        kind, session, number = _HEAD.unpack_from(message)
        if session != self.session[:16]:
            self.fail("sent a message of another session")
        if kind not in kinds:
            self.fail("sent a message out of turn")
        return kind, number, memoryview(message)[_HEAD.size :]  # type: ignore[return-value]

    def fail(self, what: str) -> NoReturn:
        """Blame the other party."""
        raise ProtocolError(what, self.peer)


def _digest(circuit: Circuit) -> bytes:
    """Return what stands for a circuit in messages."""
    return hashlib.sha256(_DOMAIN + circuit.to_bytes()).digest()


def _session(circuit: Circuit, nonces: list[bytes], hash_key: bytes) -> bytes:
    """Return a session's name: fresh, as long as one of the three contributed a fresh number."""
    return hashlib.sha256(_DOMAIN + _digest(circuit) + b"".join(nonces) + hash_key).digest()


# --- the dealer -----------------------------------------------------------------------------------


def dealer(circuit: Circuit) -> Conversation[None]:
    """Deal to both servers until they say that it is enough.

    Parameters
    ----------
    circuit : Circuit
        The model.

    Yields
    ------
    Send, Receive
        For `drive`, with the transports "server 0" and "server 1".

    Raises
    ------
    ProtocolError
        A server failed, or the two ask for different things.
    """
    lines = [_Line(name) for name in SERVERS]
    nonces = [os.urandom(32)]
    for line in lines:
        hello = bytes((yield from line.receive(_HELLO, 0)))
        if len(hello) != 64 or hello[32:] != _digest(circuit):
            line.fail("wants to evaluate another circuit")
        nonces.append(hello[:32])
    preparation = Preparation(circuit)
    for line in lines:
        yield line.send(_SESSION, 0, *nonces, preparation.hash_key)
    session = _session(circuit, nonces, preparation.hash_key)
    lines = [_Line(name, session) for name in SERVERS]
    yield from _hand_out(lines, preparation.setup())
    last, most = 0, largest_batch(circuit)
    while True:
        wishes = []
        for line in lines:
            kind, number, body = yield from line.any(_DEAL, _END, patient=True)
            wishes.append((kind, number, bytes(body)))
        kind, number, body = wishes[0]
        if wishes[1] != wishes[0]:
            raise ProtocolError("the servers ask for different material", DEALER)
        if kind == _END:
            return
        size = int.from_bytes(body, "big")
        if number <= last or len(body) != 8 or not 1 <= size <= most:
            lines[0].fail("asks for material that must not be dealt")
        last = number
        yield from _hand_out(lines, preparation.batch(size))


def _hand_out(lines: list[_Line], pairs: Iterator[tuple[bytes, bytes]]) -> Conversation[None]:
    """Send each server its half of each step's material."""
    for place, pair in enumerate(pairs):
        for line, material in zip(lines, pair, strict=True):
            yield line.send(_MATERIAL, place, material)


# --- the servers ----------------------------------------------------------------------------------


def server(
    circuit: Circuit,
    party: int,
    weights: list[Material],
    *,
    prepare: Mapping[int, int] | None = None,
    stock: Callable[[bytes, int], Stock] | None = None,
    clients: int | None = None,
) -> Conversation[None]:
    """Evaluate the circuit for clients, one after the other.

    Parameters
    ----------
    circuit : Circuit
        The model.
    party : {0, 1}
        Which server this is; 0 leads.
    weights : list of dict
        This server's shares.
    prepare : mapping of int to int, optional
        How many batches of which size lie ready whenever a client connects; only server 0's counts.
    stock : callable, optional
        Returns where material lies ready, for the session's name and the party; by default in memory.
    clients : int, optional
        End the session after so many clients; only server 0's counts.

    Yields
    ------
    Send, Receive, Swap, Accept, Drop
        For `drive`, with the transports "dealer" and the other server's name, and accepting "client".

    Raises
    ------
    ProtocolError
        The dealer or the other server failed.
    """
    session, evaluation = yield from _joined(circuit, party, weights)
    state = _Server(
        circuit,
        party,
        evaluation,
        session,
        MemoryStock() if stock is None else stock(session, party),
    )
    try:
        yield from state.lead(dict(prepare or {}), clients) if party == 0 else state.follow()
    finally:
        state.stock.close()


def _joined(circuit: Circuit, party: int, weights: list[Material]) -> Conversation[tuple[bytes, Evaluation]]:
    """Agree on a session with dealer and other server, and open the masked weights."""
    line, nonce = _Line(DEALER), os.urandom(32)
    yield line.send(_HELLO, 0, nonce, _digest(circuit))
    told = bytes((yield from line.receive(_SESSION, 0)))
    nonces, hash_key = [told[at : at + 32] for at in (0, 32, 64)], told[96:]
    if len(hash_key) != 16 or nonces[1 + party] != nonce:
        line.fail("does not know this session")
    session = _session(circuit, nonces, hash_key)
    peer = _Line(SERVERS[1 - party], session)
    answer = yield Swap(peer.peer, peer.send(_CONFIRM, 0, session).parts, party == 0)
    _, _, confirmed = peer.parsed(answer, _CONFIRM)
    if bytes(confirmed) != session:
        peer.fail("is in another session")
    evaluation = Evaluation(circuit, party, weights, hash_key)
    line = _Line(DEALER, session)
    materials = yield from _dealt(line, len(circuit.steps))
    yield from _exchanged(evaluation.setup(materials), peer, party, [])
    return session, evaluation


def _dealt(line: _Line, steps: int) -> Conversation[list[bytes]]:
    """Receive the material of every step."""
    materials = []
    for place in range(steps):
        materials.append((yield from line.receive(_MATERIAL, place)))  # noqa: PERF401 - it yields
    return materials


def _exchanged(
    rounds: Exchange[T],
    peer: _Line,
    party: int,
    sizes: list[int],
    before: Callable[[], Conversation[None]] | None = None,
) -> Conversation[T]:
    """Carry a computation's rounds to the other server; note the sizes; prepare what each step needs."""
    answer: bytes | None = None
    while True:
        if before is not None:
            yield from before()
        try:
            mine = next(rounds) if answer is None else rounds.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        head = peer.send(_ROUND, len(sizes), mine).parts
        received = yield Swap(peer.peer, head, party == 0)
        _, place, body = peer.parsed(received, _ROUND)
        if place != len(sizes):
            peer.fail("sent a message out of turn")
        if len(body) != len(mine):
            peer.fail("sent a message of a wrong size")
        sizes.append(len(mine))
        answer = body


class _Server:
    """A server in a session."""

    def __init__(
        self, circuit: Circuit, party: int, evaluation: Evaluation, session: bytes, stock: Stock
    ) -> None:
        self.circuit, self.party, self.evaluation, self.stock = circuit, party, evaluation, stock
        self.dealer, self.client = _Line(DEALER, session), _Line(CLIENT, session)
        self.peer = _Line(SERVERS[1 - party], session)
        self.session, self.last, self.most = session, 0, largest_batch(circuit)

    # What server 0 does -------------------------------------------------------------------------

    def lead(self, prepare: dict[int, int], clients: int | None) -> Conversation[None]:
        """Let clients in, one after the other, with enough material in stock."""
        while clients is None or clients > 0:
            for size, count in prepare.items():
                yield from self.stock_up(size, count)
            yield Accept(CLIENT, patient=True)
            yield self.peer.send(_CLIENT, 0)
            kind, _, _ = yield from self.peer.any(_READY, _REFUSED)
            if kind == _READY:
                yield from self.serve()
                yield self.peer.send(_GONE, 0)
            yield Drop(CLIENT)
            clients = None if clients is None else clients - 1
        yield self.peer.send(_END, 0)
        yield self.dealer.send(_END, 0)

    def stock_up(self, size: int, count: int) -> Conversation[None]:
        """Have so many batches of a size in stock."""
        _check_batch(self.circuit, size)
        for _ in range(count - self.stock.count(size)):
            self.last += 1
            yield self.peer.send(_PREPARE, self.last, size.to_bytes(8, "big"))
            yield from self.put_by(self.last, size)

    def serve(self) -> Conversation[None]:
        """Answer a client until it leaves; whatever it does wrong ends only its own connection."""
        try:
            yield from self.welcome()
            while True:
                kind, _, body = yield from self.client.any(_QUERY, _END, patient=True)
                if kind == _END:
                    return
                name, x = self.parsed_query(bytes(body))
                yield from self.answer(name, x)
        except ProtocolError as error:
            if error.party != CLIENT:
                raise

    def answer(self, name: bytes, x: Words) -> Conversation[None]:
        """Lead the evaluation of one query."""
        number = self.stock.find(len(x))
        if fresh := number is None:
            self.last += 1
            number = self.last
        order = struct.pack(">Q?", len(x), fresh) + name
        yield self.peer.send(_START, number, order)
        kind, at, _ = yield from self.peer.any(_READY, _REFUSED)
        if at != number:
            self.peer.fail("sent a message out of turn")
        if kind == _REFUSED:
            self.client.fail("did not send the same query to both servers")
        yield from self.evaluate(number, fresh, name, x)

    # What server 1 does -------------------------------------------------------------------------

    def follow(self) -> Conversation[None]:
        """Do what server 0 says, if it is in order."""
        while True:
            kind, number, body = yield from self.peer.any(
                _PREPARE, _CLIENT, _START, _GONE, _END, patient=True
            )
            if kind == _END:
                yield self.dealer.send(_END, 0)
                return
            if kind == _PREPARE:
                self.check_growing(number)
                yield from self.put_by(number, int.from_bytes(body, "big"))
            elif kind == _CLIENT:
                yield self.peer.send((_REFUSED if (yield from self.failed_to_welcome()) else _READY), 0)
            elif kind == _GONE:
                yield Drop(CLIENT)
            else:
                yield from self.obey(number, bytes(body))

    def failed_to_welcome(self) -> Conversation[bool]:
        """Let the client in that is connected to server 0; tell whether it did not come."""
        try:
            yield Accept(CLIENT)
            yield from self.welcome()
        except ProtocolError as error:
            if error.party != CLIENT:
                raise
            yield Drop(CLIENT)
            return True
        return False

    def obey(self, number: int, order: bytes) -> Conversation[None]:
        """Take part in the evaluation of the query that server 0 names."""
        if len(order) != 25:
            self.peer.fail("sent an order of a wrong size")
        size, fresh = struct.unpack_from(">Q?", order)
        try:
            _, _, body = yield from self.client.any(_QUERY)
            name, x = self.parsed_query(bytes(body))
            if name != order[9:] or len(x) != size:
                self.client.fail("did not send the same query to both servers")
        except ProtocolError as error:
            if error.party != CLIENT:
                raise
            yield self.peer.send(_REFUSED, number)
            return
        if fresh:
            self.check_growing(number)
        yield self.peer.send(_READY, number)
        try:
            yield from self.evaluate(number, fresh, name, x)
        except ProtocolError as error:
            if error.party != CLIENT:
                raise

    def check_growing(self, number: int) -> None:
        """Refuse a number that was used before."""
        if number <= self.last:
            self.peer.fail("names a number that was used before")
        self.last = number

    # What both do -------------------------------------------------------------------------------

    def welcome(self) -> Conversation[None]:
        """Tell a client the circuit and the session."""
        yield _Line(CLIENT).send(_WELCOME, 0, self.session, self.circuit.to_bytes())

    def put_by(self, number: int, size: int) -> Conversation[None]:
        """Fetch the material of a batch into the stock."""
        yield self.dealer.send(_DEAL, number, size.to_bytes(8, "big"))
        self.stock.put(number, size, (yield from _dealt(self.dealer, len(self.circuit.steps))))

    def parsed_query(self, body: bytes) -> tuple[bytes, Words]:
        """Return the name of a query and the share of its inputs."""
        shape = self.circuit.input_shape
        size, rest = divmod(len(body) - 16, 8 * int(np.prod(shape, dtype=np.int64)))
        if rest or not 1 <= size <= self.most:
            self.client.fail("sent inputs of another shape, or too many")
        words = np.frombuffer(body, "<u8", offset=16).astype(np.uint64)
        return body[:16], words.reshape(size, *shape)

    def evaluate(self, number: int, fresh: bool, name: bytes, x: Words) -> Conversation[None]:
        """Burn the material, compute, and send the client its share."""
        begun = time.perf_counter_ns()
        materials: Iterator[bytes]
        if fresh:
            yield self.dealer.send(_DEAL, number, len(x).to_bytes(8, "big"))
            stream = _Stream(self.circuit, self.dealer)
            materials, before = iter(stream), stream.before
        else:
            materials, before = iter(self.stock.take(number, len(x))), None
        sizes: list[int] = []
        rounds = self.evaluation.run(x, materials)
        output = yield from _exchanged(rounds, self.peer, self.party, sizes, before)
        if fresh:
            yield from stream.rest()
        traffic = struct.pack(f">QI{len(sizes)}Q", time.perf_counter_ns() - begun, len(sizes), *sizes)
        share = np.ascontiguousarray(output, "<u8").tobytes()
        yield self.client.send(_RESULT, 0, name, traffic, share)


class _Stream:
    """Material that is still on its way: received a step at a time, when it is needed."""

    def __init__(self, circuit: Circuit, line: _Line) -> None:
        self._line, self._ready, self._place = line, list[bytes](), 0
        # How many materials the computation takes before it yields the first message, the second, ... or ends.
        self._needs = [0]
        for step in circuit.steps:
            self._needs[-1] += 1
            self._needs += [0] * step.rounds
        self._total = len(circuit.steps)

    def __iter__(self) -> Iterator[bytes]:
        while self._ready:
            yield self._ready.pop(0)

    def before(self) -> Conversation[None]:
        """Receive what the computation takes until its next message."""
        for _ in range(self._needs.pop(0)):
            yield from self._next()

    def rest(self) -> Conversation[None]:
        """Receive what the computation did not take."""
        while self._place < self._total:
            yield from self._next()

    def _next(self) -> Conversation[None]:
        self._ready.append((yield from self._line.receive(_MATERIAL, self._place)))
        self._place += 1


# --- the client -----------------------------------------------------------------------------------


class Client:
    """Asks two servers for the classes of inputs that neither of them sees.

    Its methods are conversations, for `drive` with the transports "server 0" and "server 1".

    Parameters
    ----------
    circuit : Circuit, optional
        The one that the servers must have. Without it, the client takes the servers' word for which model it is asking.
    """

    def __init__(self, circuit: Circuit | None = None) -> None:
        self.circuit = circuit
        self._session = _NO_SESSION

    def greet(self) -> Conversation[None]:
        """Receive the circuit and the session from both servers.

        Raises
        ------
        ProtocolError
            They are not in the same session, or have another circuit.
        """
        told = []
        for name in SERVERS:
            told.append(bytes((yield from _Line(name).receive(_WELCOME, 0))))  # noqa: PERF401 - it yields
        if told[0] != told[1]:
            raise ProtocolError("the servers are not in the same session", SERVERS[1])
        circuit = Circuit.from_bytes(told[0][32:])
        if self.circuit is not None and circuit != self.circuit:
            raise ProtocolError("evaluates another circuit", SERVERS[0])
        self.circuit, self._session = circuit, told[0][:32]

    def ask(self, inputs: NDArray[Any]) -> Conversation[Answer]:
        """Send shares of a batch of inputs and add up the shares of the outputs.

        Parameters
        ----------
        inputs : array of real numbers
            The first axis is the batch.

        Returns
        -------
        Answer
            Classes or scores, and what they cost.

        Raises
        ------
        ValueError
            No inputs, or more than `largest_batch`; nothing was sent.
        ProtocolError
            A server failed. There is no result.
        """
        if self.circuit is None:
            raise ValueError("greet the servers first")
        lines = [_Line(name, self._session) for name in SERVERS]
        begun, name = time.perf_counter_ns(), os.urandom(16)
        shares = self.circuit.encode(inputs)
        batch = len(shares[0])
        _check_batch(self.circuit, batch)
        for line, share in zip(lines, shares, strict=True):
            yield line.send(_QUERY, 0, name, np.ascontiguousarray(share, "<u8").tobytes())
        outputs, traffic = [], []
        for line in lines:
            body = bytes((yield from line.receive(_RESULT, 0)))
            if body[:16] != name:
                line.fail("answered another query")
            spent, sizes, share = _parsed_result(body[16:], self.circuit, batch, line)
            outputs.append(share)
            traffic.append((spent, sizes))
        if traffic[0][1] != traffic[1][1]:
            lines[1].fail("had other rounds than server 0")
        values = self.circuit.decode(outputs[0], outputs[1])
        return Answer(
            values,
            self.circuit.costs(batch),
            batch,
            time.perf_counter_ns() - begun,
            max(spent for spent, _ in traffic),
            traffic[0][1],
        )

    def leave(self) -> Conversation[None]:
        """Say goodbye: server 0 tells the other."""
        yield _Line(SERVERS[0], self._session).send(_END, 0)


def _parsed_result(
    body: bytes, circuit: Circuit, batch: int, line: _Line
) -> tuple[int, tuple[int, ...], Words]:
    """Return a server's time, the sizes of its messages, and its share of the outputs."""
    rounds = sum(step.rounds for step in circuit.steps)
    head = 12 + 8 * rounds
    count = batch * int(np.prod(circuit.output_shape, dtype=np.int64))
    if len(body) != head + 8 * count or struct.unpack_from(">I", body, 8)[0] != rounds:
        line.fail("sent a result of another shape")
    spent, _, *sizes = struct.unpack_from(f">QI{rounds}Q", body)
    share = np.frombuffer(body, "<u8", offset=head).astype(np.uint64)
    return spent, tuple(sizes), share.reshape(batch, *circuit.output_shape)
