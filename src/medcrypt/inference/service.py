"""A model as a service: folders for its four parties, processes that talk over TCP, and a client.

    deploy(model, folder)                      folder/dealer, server-0, server-1 and client: give each to its party
    serve(folder/dealer, listen=...)           in three processes, on three machines that nobody controls together
    with Connection(folder/client, ...) as c:  c.query(inputs) -> classes, report

A party's folder holds `party.json`, `circuit.json`, a key for each other party that it talks to, and, a server's, its
share of the weights, `weights.bin`. Whoever has the folders of both servers has the model: delete what was handed out.

Server 0 calls the dealer; server 1 calls server 0, then the dealer; a client calls server 0, then server 1. Every
connection is a `Channel`.
"""

import hashlib
import json
import math
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.durable import new_file
from medcrypt.errors import FormatError, ProtocolError
from medcrypt.inference import parties
from medcrypt.inference.channel import Channel, connect, wait_for_any
from medcrypt.inference.circuit import Circuit
from medcrypt.inference.model import Sequential
from medcrypt.inference.parties import CLIENT, DEALER, SERVERS, Client, drive, largest_batch
from medcrypt.inference.preprocessing import SealedStock
from medcrypt.inference.report import Report
from medcrypt.inference.sharing import Material, material_size, pack, unpack
from medcrypt.keys import SecretKey

__all__ = ["Address", "Connection", "Party", "deploy", "file_name", "serve", "serve_at"]

Address = tuple[str, int]

_FORMAT = "medcrypt-party-1"
_WEIGHTS = struct.Struct(">4sBB32s")  # magic, version, party, SHA-256 of the circuit
_MAGIC, _VERSION = b"MCIW", 1
_TALKS_TO = {DEALER: SERVERS, CLIENT: SERVERS} | {
    name: (DEALER, SERVERS[1 - party], CLIENT) for party, name in enumerate(SERVERS)
}
_PAUSE = 0.02
_MOST_SILENT = 64


# --- folders --------------------------------------------------------------------------------------


def deploy(
    model: Sequential, folder: str | os.PathLike[str], input_shape: tuple[int, ...] | None = None
) -> Circuit:
    """Write what each party needs into a folder of its own.

    Parameters
    ----------
    model : Sequential
        The model.
    folder : path
        Gets the folders dealer, server-0, server-1 and client, readable by their owner alone; none may exist.
    input_shape : tuple of int, optional
        As for `Sequential.compile`.

    Returns
    -------
    Circuit
        The public part of the model.

    Raises
    ------
    FileExistsError
        One of the folders exists.

    Examples
    --------
    >>> import os, tempfile
    >>> from medcrypt import inference
    >>> model = inference.Sequential([inference.Dense([[1.0, -1.0]]), inference.Argmax()])
    >>> folder = tempfile.mkdtemp()
    >>> _ = deploy(model, folder)
    >>> sorted(os.listdir(os.path.join(folder, "server-1")))
    ['circuit.json', 'client.key', 'dealer.key', 'party.json', 'server-0.key', 'weights.bin']
    """
    compiled = model.compile(input_shape)
    root = Path(folder)
    folders = {name: root / file_name(name) for name in _TALKS_TO}
    for path in folders.values():
        path.mkdir(mode=0o700, parents=True)
    shares = compiled.share()
    for name, path in folders.items():
        _write(path / "party.json", json.dumps({"format": _FORMAT, "role": name}).encode())
        _write(path / "circuit.json", compiled.circuit.to_bytes())
        if name in SERVERS:
            party = SERVERS.index(name)
            _write(path / "weights.bin", _packed_weights(compiled.circuit, party, shares[party]))
    for name, others in _TALKS_TO.items():
        for other in others:
            if name < other:
                key = SecretKey.generate()
                key.save(folders[name] / f"{file_name(other)}.key")
                key.save(folders[other] / f"{file_name(name)}.key")
    return compiled.circuit


@dataclass(frozen=True)
class Party:
    """What `deploy` wrote for one party.

    Parameters
    ----------
    role : str
        "dealer", "server 0", "server 1" or "client".
    circuit : Circuit
        The model's public part.
    keys : mapping of str to SecretKey
        By the other party's role.
    weights : list of dict
        A server's shares; empty for the others.
    """

    role: str
    circuit: Circuit
    keys: Mapping[str, SecretKey]
    weights: list[Material]

    def __repr__(self) -> str:
        return f"Party(role={self.role!r})"

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a party's folder.

        Raises
        ------
        OSError
            A file is missing.
        FormatError
            A file is not what it should be, or the weights belong to another circuit or server.
        """
        root = Path(folder)
        try:
            document = json.loads((root / "party.json").read_bytes())
            role = document["role"] if document["format"] == _FORMAT else None
        except (ValueError, TypeError, KeyError):
            role = None
        if not isinstance(role, str) or role not in _TALKS_TO:
            raise FormatError("not a party's folder")
        circuit = Circuit.from_bytes((root / "circuit.json").read_bytes())
        keys = {other: SecretKey.load(root / f"{file_name(other)}.key") for other in _TALKS_TO[role]}
        weights: list[Material] = []
        if role in SERVERS:
            weights = _unpacked_weights(circuit, SERVERS.index(role), (root / "weights.bin").read_bytes())
        return cls(role, circuit, keys, weights)


def file_name(role: str) -> str:
    """Return what a role is called in a folder."""
    return role.replace(" ", "-")


def _write(path: Path, data: bytes) -> None:
    with new_file(path, mode=0o600) as file:
        file.write(data)


def _packed_weights(circuit: Circuit, party: int, weights: list[Material]) -> bytes:
    """Return a server's share of the weights as bytes."""
    head = _WEIGHTS.pack(_MAGIC, _VERSION, party, hashlib.sha256(circuit.to_bytes()).digest())
    parts = (pack(step.weights_layout(), entry) for step, entry in zip(circuit.steps, weights, strict=True))
    return b"".join([head, *parts])


def _unpacked_weights(circuit: Circuit, party: int, data: bytes) -> list[Material]:
    """Undo `_packed_weights`."""
    if len(data) < _WEIGHTS.size:
        raise FormatError("not a share of weights")
    magic, version, found, digest = _WEIGHTS.unpack_from(data)
    if (magic, version) != (_MAGIC, _VERSION):
        raise FormatError("not a share of weights of version 1")
    if found != party or digest != hashlib.sha256(circuit.to_bytes()).digest():
        raise FormatError("the weights belong to another server or circuit")
    layouts = [step.weights_layout() for step in circuit.steps]
    if len(data) != _WEIGHTS.size + sum(map(material_size, layouts)):
        raise FormatError("the length does not match the circuit")
    weights, at, view = [], _WEIGHTS.size, memoryview(data)
    for layout in layouts:
        size = material_size(layout)
        weights.append(unpack(layout, view[at : at + size]))
        at += size
    return weights


# --- the three that serve -------------------------------------------------------------------------


class _Door:
    """Where other parties connect."""

    def __init__(
        self, listener: socket.socket, party: Party, timeout: float, opened: Callable[[], None]
    ) -> None:
        self._listener, self._party, self._timeout, self._opened = listener, party, timeout, opened
        self.transports: dict[str, Any] = {}
        self._silent: list[socket.socket] = []
        self._told = False

    def accept(self, peer: str, patient: bool) -> Channel:
        """Let a party in that proves to be `peer`; others that knock are turned away."""
        if peer == CLIENT and not self._told:
            self._told = True
            self._opened()
        # Another server waits while this one sees one client off, lets the next in and welcomes it: three steps.
        timeout = self._timeout / 4 if peer == CLIENT else self._timeout
        deadline = math.inf if patient else time.monotonic() + timeout
        while True:
            stream = self._knock(peer, patient, deadline)
            # Half of the time at most: whoever says something and then stops leaves the other half to the next.
            handshake = min(deadline - time.monotonic(), timeout / 2)
            with suppress(ProtocolError):
                return Channel(
                    stream,
                    self._party.keys[peer],
                    self._party.role,
                    peer,
                    initiator=False,
                    timeout=timeout,
                    handshake=handshake,
                )

    def _knock(self, peer: str, patient: bool, deadline: float) -> socket.socket:
        """Return a connection on which somebody has said something: those that are idle keep nobody waiting."""
        others = self.transports if patient else {}
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ProtocolError("did not connect in time", peer)
            streams = [self._listener, *self._silent, *others.values()]
            ready = wait_for_any(streams, None if patient else left)
            for name, channel in others.items():
                if channel in ready:
                    raise ProtocolError("left, or spoke out of turn", name)
            if self._listener in ready:
                self._open(peer)
            for stream in self._silent:
                if stream in ready:
                    self._silent.remove(stream)
                    return stream

    def _open(self, peer: str) -> None:
        """Take the next connection; beyond so many, let the one go that has been silent for longest."""
        self._listener.settimeout(0)
        try:
            stream, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # it has gone again
            return
        except OSError as error:
            raise ProtocolError(f"cannot connect ({error.strerror})", peer) from None
        self._silent.append(stream)
        if len(self._silent) > _MOST_SILENT:
            self._silent.pop(0).close()

    def close(self) -> None:
        """Let go of all who knocked and were not let in."""
        while self._silent:
            self._silent.pop().close()


def _called(address: Address, party: Party, peer: str, timeout: float) -> Channel:
    """Connect to a party that may not be listening yet, or still waits for another."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return connect(address, party.keys[peer], party.role, peer, timeout=timeout)
        except ProtocolError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)


def serve(
    folder: str | os.PathLike[str],
    *,
    listen: Address = ("127.0.0.1", 0),
    dealer: Address | None = None,
    server_0: Address | None = None,
    prepare: Mapping[int, int] | None = None,
    store: str | os.PathLike[str] | None = None,
    clients: int | None = None,
    timeout: float = 30.0,
    listening: Callable[[Address], None] | None = None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Be the dealer or a server, until the session ends.

    Parameters
    ----------
    folder : path
        What `deploy` wrote for this party.
    listen : (str, int)
        Host and port to listen at; port 0 lets the system choose.
    dealer, server_0 : (str, int), optional
        Where those two listen: a server needs the first, server 1 both.
    prepare : mapping of int to int, optional
        Server 0: how many batches of which size lie ready when a client comes.
    store : path, optional
        A server: keep them on disk, in a folder of this server alone; see `preprocessing`.
    clients : int, optional
        Server 0: end after so many clients.
    timeout : float
        Seconds to wait for another party's next step.
    listening : callable, optional
        Called with the address once it is known.
    ready : callable, optional
        Called when the first client can come.

    Raises
    ------
    ProtocolError
        Another party failed. The session is over, its material is gone; start all three anew.
    ValueError
        An address is missing, or the folder is a client's.
    """
    party = Party.load(folder)
    if party.role == CLIENT:
        raise ValueError("a client does not serve: use `Connection`")
    others = {name: at for name, at in ((DEALER, dealer), (SERVERS[0], server_0)) if at is not None}
    with socket.create_server(listen) as listener:
        if listening is not None:
            listening(listener.getsockname()[:2])
        serve_at(listener, party, others, prepare, store, clients, timeout, ready or (lambda: None))


def serve_at(
    listener: socket.socket,
    party: Party,
    others: Mapping[str, Address],
    prepare: Mapping[int, int] | None,
    store: str | os.PathLike[str] | None,
    clients: int | None,
    timeout: float,
    ready: Callable[[], None],
) -> None:
    """Connect with the other two, and play the party to its end."""
    door = _Door(listener, party, timeout, ready)
    try:
        _meet(party, door, others, timeout)
        drive(_conversation(party, prepare, store, clients), door.transports, door.accept)
        for channel in list(door.transports.values()):
            channel.close()
    finally:
        door.close()
        for channel in door.transports.values():
            channel.abandon()


def _meet(party: Party, door: _Door, others: Mapping[str, Address], timeout: float) -> None:
    """Connect with the other two, in the order that the module's docstring gives."""
    calls = {DEALER: (), SERVERS[0]: (DEALER,), SERVERS[1]: (SERVERS[0], DEALER)}[party.role]
    waits = {DEALER: SERVERS, SERVERS[0]: (SERVERS[1],), SERVERS[1]: ()}[party.role]
    for peer in calls:
        if peer not in others:
            raise ValueError(f"{party.role} needs the address of {peer}")
        door.transports[peer] = _called(others[peer], party, peer, timeout)
    for peer in waits:
        door.transports[peer] = door.accept(peer, patient=False)


def _conversation(
    party: Party, prepare: Mapping[int, int] | None, store: str | os.PathLike[str] | None, clients: int | None
) -> parties.Conversation[None]:
    """Return what the party says."""
    if party.role == DEALER:
        return parties.dealer(party.circuit)
    return parties.server(
        party.circuit,
        SERVERS.index(party.role),
        party.weights,
        prepare=prepare,
        stock=None if store is None else (lambda session, number: SealedStock(store, session, number)),
        clients=clients,
    )


# --- the client -----------------------------------------------------------------------------------


class Connection:
    """A client's connection to both servers.

    Parameters
    ----------
    folder : path
        What `deploy` wrote for the client.
    server_0, server_1 : (str, int)
        Host and port of the servers.
    timeout : float
        Seconds to wait for a server's next step.

    Raises
    ------
    ProtocolError
        A server does not answer, or evaluates another circuit.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        server_0: Address,
        server_1: Address,
        *,
        timeout: float = 30.0,
    ) -> None:
        party = Party.load(folder)
        if party.role != CLIENT:
            raise ValueError("the folder is not a client's")
        self.circuit = party.circuit
        self._client = Client(party.circuit)
        self._transports: dict[str, Any] = {}
        try:
            # Server 0 has let this client in when its handshake is over; only then does server 1 expect it.
            for name, address in zip(SERVERS, (server_0, server_1), strict=True):
                self._transports[name] = _called(address, party, name, timeout)
            drive(self._client.greet(), self._transports)
        except BaseException:
            self._abandon()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def query(self, inputs: ArrayLike, batch: int | None = None) -> tuple[NDArray[Any], Report]:
        """Ask for the classes of some inputs.

        Parameters
        ----------
        inputs : array of real numbers
            The first axis counts them.
        batch : int, optional
            How many at once; by default all, or as many as a batch for this circuit may have (`largest_batch`).

        Returns
        -------
        tuple of ndarray and Report
            Classes (int64) or scores (float64), one for each input, and what they cost.

        Raises
        ------
        ValueError
            Another shape, a value outside the model's clip, no inputs, or a batch that is too large.
        ProtocolError
            A server failed. There is no result, and the connection is of no use any more.
        """
        array = np.asarray(inputs)
        self.circuit.integers(array)  # wrong inputs are refused before anything is sent
        if batch is None:
            batch = max(min(len(array), largest_batch(self.circuit)), 1)
        try:
            answers = [
                drive(self._client.ask(array[start : start + batch]), self._transports)
                for start in range(0, max(len(array), 1), batch)
            ]
        except ProtocolError:
            self._abandon()
            raise
        return np.concatenate([answer.values for answer in answers]), Report.of(answers)

    def close(self) -> None:
        """Say goodbye."""
        if not self._transports:
            return
        with suppress(ProtocolError):  # there is nothing left to be lost
            drive(self._client.leave(), self._transports)
            for channel in self._transports.values():
                channel.close()
        self._abandon()

    def _abandon(self) -> None:
        """Leave without a word."""
        for channel in self._transports.values():
            channel.abandon()
        self._transports.clear()
