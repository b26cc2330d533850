"""Dealer and two servers as processes on this machine: to try a model, to test, to measure.

    run_local(model, inputs)                 classes, and a report of what they cost
    with LocalService(model) as service:     the same for many queries
        with service.connect() as client:
            client.query(inputs)

With all parties under one hand nothing is hidden from it.
"""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.errors import ProtocolError
from medcrypt.inference.model import Sequential
from medcrypt.inference.parties import CLIENT, DEALER, SERVERS, largest_batch
from medcrypt.inference.report import Report
from medcrypt.inference.service import Address, Connection, Party, deploy, file_name, serve_at

__all__ = ["LocalService", "run_local"]

_MATERIAL_AT_ONCE = 1 << 26  # bytes of one batch's material that `run_local` aims at
_MATERIAL_IN_STOCK = 1 << 29


class LocalService:
    """Dealer and two servers as processes on this machine: to try, to test, to measure.

    With all three under one hand nothing is hidden from it. Leaving the `with` block ends them.

    Parameters
    ----------
    model : Sequential
        The model.
    input_shape : tuple of int, optional
        As for `Sequential.compile`.
    prepare : mapping of int to int, optional
        As for `serve`.
    store : bool
        Keep prepared material on disk, sealed, rather than in memory.
    timeout : float
        Seconds to wait for any step.

    Raises
    ------
    ProtocolError
        A process did not start.
    """

    def __init__(
        self,
        model: Sequential,
        input_shape: tuple[int, ...] | None = None,
        *,
        prepare: Mapping[int, int] | None = None,
        store: bool = False,
        timeout: float = 30.0,
    ) -> None:
        self._model, self._shape = model, input_shape
        self._prepare, self._store, self._timeout = dict(prepare or {}), store, timeout
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses: dict[str, Address] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            deploy(self._model, self.folder, self._shape)
            for role in (DEALER, *SERVERS):
                self.processes[role] = stack.enter_context(_process(self.folder / file_name(role)))
            for role, process in self.processes.items():
                self.addresses[role] = tuple(_line_from(process, role)["address"])
            for role, process in self.processes.items():
                _line_to(process, self._options(role))
            _line_from(self.processes[SERVERS[0]], SERVERS[0])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self) -> Connection:
        """Return a client's connection; one at a time is served."""
        return Connection(
            self.folder / CLIENT,
            self.addresses[SERVERS[0]],
            self.addresses[SERVERS[1]],
            timeout=self._timeout,
        )

    def _options(self, role: str) -> dict[str, Any]:
        """Return what a process is told once all addresses are known."""
        store = str(self.folder / f"{file_name(role)}-stock") if self._store else None
        return {
            "others": self.addresses,
            "prepare": list(self._prepare.items()),
            "store": store,
            "timeout": self._timeout,
        }


def run_local(
    model: Sequential, inputs: ArrayLike, *, batch: int | None = None, timeout: float = 60.0
) -> tuple[NDArray[Any], Report]:
    """Run a model on inputs with dealer and two servers as processes on the loopback.

    Parameters
    ----------
    model : Sequential
        The model.
    inputs : array of real numbers
        The first axis counts them.
    batch : int, optional
        How many at once; by default as many as 64 MB of material are enough for.
    timeout : float
        Seconds to wait for any step.

    Returns
    -------
    tuple of ndarray and Report
        Classes (int64), or scores (float64) of a model that reveals them, and what they cost online: the material was
        dealt before, unless it is more than 512 MB.

    Raises
    ------
    ValueError
        Another shape, a value outside the model's clip, no inputs, or a batch that is too large.
    ProtocolError
        A party failed; there is no result.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import inference
    >>> model = inference.Sequential([inference.Dense([[1.0, -1.0], [0.5, 2.0]]), inference.Argmax()])
    >>> classes, report = inference.run_local(model, np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> classes.tolist(), report.rounds
    ([0, 1], 3)
    """
    array = np.asarray(inputs)
    if array.ndim < 2 or not len(array):
        raise ValueError("inputs have an axis that counts them, and there is at least one")
    circuit = model.compile(array.shape[1:]).circuit
    circuit.integers(array)
    each = sum(cost.material for cost in circuit.costs(1))
    if batch is None:
        batch = min(len(array), max(largest_batch(circuit), 1), max(_MATERIAL_AT_ONCE // max(each, 1), 1))
    elif not 1 <= batch <= (most := largest_batch(circuit)):
        raise ValueError(f"a batch for this circuit has 1 to {most} inputs, not {batch}")
    whole, last = divmod(len(array), batch)
    prepare = {batch: min(whole, max(_MATERIAL_IN_STOCK // max(each * batch, 1), 1))} | (
        {last: 1} if last else {}
    )
    with (
        LocalService(model, array.shape[1:], prepare=prepare, timeout=timeout) as service,
        service.connect() as connection,
    ):
        return connection.query(array, batch)


@contextmanager
def _process(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a party; end it afterwards."""
    code = "from medcrypt.inference.local import _serve_as_told; _serve_as_told()"
    with open(folder / "errors.txt", "w+b") as errors:
        process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            [sys.executable, "-c", code, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _serve_as_told() -> None:
    """Be a party of a `LocalService`: options come from standard input, news go to standard output."""
    party = Party.load(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _say({"address": listener.getsockname()})
        options = json.loads(sys.stdin.readline())
        serve_at(
            listener,
            party,
            others={role: (host, port) for role, (host, port) in options["others"].items()},
            prepare=dict(options["prepare"]),
            store=options["store"],
            clients=None,
            timeout=options["timeout"],
            ready=lambda: _say({}),
        )


def _say(news: dict[str, Any]) -> None:
    """Write a line of JSON to the parent."""
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def _line_from(process: "subprocess.Popen[bytes]", role: str) -> dict[str, Any]:
    """Read a line of JSON from a process."""
    line = process.stdout.readline() if process.stdout is not None else b""
    if not line:
        raise ProtocolError("did not start", role)
    return dict(json.loads(line))


def _line_to(process: "subprocess.Popen[bytes]", options: dict[str, Any]) -> None:
    """Write a line of JSON to a process."""
    if process.stdin is not None:
        process.stdin.write(json.dumps(options).encode() + b"\n")
        process.stdin.flush()
