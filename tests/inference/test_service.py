"""Three real processes on the loopback: right classes, and no result where one of them dies or a byte changes."""

import contextlib
import json
import socket
import stat
import threading

import numpy as np
import pytest

from medcrypt import inference
from medcrypt.errors import FormatError, ProtocolError
from medcrypt.inference import channel
from medcrypt.inference.parties import largest_batch
from medcrypt.inference.service import Connection, Party, deploy, serve

RANDOM = np.random.default_rng(3)
MODEL = inference.Sequential.from_arrays(
    [(RANDOM.normal(size=(6, 5)), RANDOM.normal(size=5)), (RANDOM.normal(size=(5, 3)), RANDOM.normal(size=3))]
)
COMPILED = MODEL.compile()
INPUTS = RANDOM.uniform(-4, 4, (8, 6))


@pytest.fixture(scope="module")
def service():
    with inference.LocalService(MODEL, prepare={2: 3}, store=True, timeout=20.0) as running:
        yield running


def test_classes_are_those_in_the_clear_from_the_disk_and_from_the_stream(service):
    for batch in (2, 3, None):
        with service.connect() as connection:
            classes, report = connection.query(INPUTS, batch)
            assert classes.tolist() == COMPILED.predict(INPUTS).tolist()
            assert (report.inputs, report.batches) == (8, -(-8 // (batch or 8)))
            assert report.bytes_sent == sum(
                cost.sent
                for start in range(0, 8, batch or 8)
                for cost in COMPILED.circuit.costs(len(INPUTS[start : start + (batch or 8)]))
            )


def test_wrong_inputs_leave_the_connection_as_it_was(service):
    with service.connect() as connection:
        for wrong in (np.zeros((2, 5)), np.full((1, 6), np.nan), np.zeros((0, 6))):
            with pytest.raises(ValueError, match=r".+"):
                connection.query(wrong)
        assert connection.query(INPUTS[:1])[0].tolist() == COMPILED.predict(INPUTS[:1]).tolist()


def test_strangers_and_clients_that_vanish_do_not_disturb_the_next_client(service):
    with socket.create_connection(service.addresses["server 0"]) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(200))
    service.connect()._abandon()
    with service.connect() as connection:
        assert len(connection.query(INPUTS)[0]) == 8


def test_a_network_with_convolutions_runs_on_three_processes():
    model = inference.Sequential(
        [
            inference.Conv2d(RANDOM.normal(size=(2, 1, 3, 3)), padding=1),
            inference.ReLU(),
            inference.MaxPool(2),
            inference.Flatten(),
            inference.Dense(RANDOM.normal(size=(18, 4))),
            inference.Argmax(),
        ],
        clip=1.0,
    )
    images = RANDOM.uniform(-1, 1, (3, 1, 6, 6))
    classes, report = inference.run_local(model, images, batch=2)
    assert classes.tolist() == model.compile((1, 6, 6)).predict(images).tolist()
    kinds = {layer.layer.split()[1] for layer in report.layers if layer.rounds}
    assert kinds == {"Conv2d", "ReLU", "MaxPool", "Dense", "Argmax"}


@pytest.mark.parametrize("killed", ["dealer", "server 0", "server 1"])
def test_where_a_party_is_killed_there_is_an_error_and_no_result_and_the_others_end(killed):
    with inference.LocalService(MODEL, timeout=6.0) as service, contextlib.ExitStack() as stack:
        connection = stack.enter_context(service.connect())
        connection.query(INPUTS)
        service.processes[killed].kill()
        with pytest.raises(ProtocolError):
            connection.query(INPUTS)
        with pytest.raises(ProtocolError):
            connection.query(INPUTS)
        for name in {"server 0", "server 1"} - {killed}:
            assert service.processes[name].wait(20) != 0


class Proxy:
    """Stands between two parties, and changes one byte of what passes after it is told to."""

    def __init__(self, target):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address, self._target, self.armed = self._listener.getsockname(), target, threading.Event()
        self._sockets = [self._listener]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source, sink):
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(1 << 16)):
                if self.armed.is_set():
                    data[len(data) // 2] ^= 1
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        for one in self._sockets:
            one.close()


def in_threads(root, proxied, **options):
    """Dealer and servers in threads; one of their connections leads through a proxy."""
    listening, errors = {}, {}
    told = {name: threading.Event() for name in ("dealer", "server-0", "server-1")}

    def run(name, **more):
        def heard(address):
            listening[name] = address
            told[name].set()

        try:
            serve(root / name, listening=heard, timeout=5.0, **more)
        except ProtocolError as error:
            errors[name] = error

    threads = [threading.Thread(target=run, args=("dealer",), daemon=True)]
    threads[0].start()
    told["dealer"].wait(10)
    threads.append(
        threading.Thread(target=run, args=("server-0",), kwargs={"dealer": listening["dealer"], **options})
    )
    threads[1].start()
    told["server-0"].wait(10)
    proxy = Proxy(listening[proxied])
    addresses = {"dealer": listening["dealer"], "server_0": listening["server-0"]}
    addresses["dealer" if proxied == "dealer" else "server_0"] = proxy.address
    threads.append(threading.Thread(target=run, args=("server-1",), kwargs=addresses))
    threads[2].start()
    told["server-1"].wait(10)
    return listening, errors, threads, proxy


@pytest.mark.parametrize("proxied", ["dealer", "server-0"])
def test_a_changed_byte_between_parties_ends_the_session_without_a_result(tmp_path, proxied):
    deploy(MODEL, tmp_path)
    listening, errors, threads, proxy = in_threads(tmp_path, proxied)
    with contextlib.closing(proxy), contextlib.ExitStack() as stack:
        connection = Connection(
            tmp_path / "client", listening["server-0"], listening["server-1"], timeout=10.0
        )
        stack.callback(connection._abandon)
        assert connection.query(INPUTS)[0].tolist() == COMPILED.predict(INPUTS).tolist()
        proxy.armed.set()
        with pytest.raises(ProtocolError):
            connection.query(INPUTS)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert errors["server-0"].party in ("server 1", "dealer")
    assert errors["server-1"].party in ("server 0", "dealer")


def test_a_service_ends_in_order_after_its_last_client(tmp_path):
    deploy(MODEL, tmp_path)
    listening, errors, threads, proxy = in_threads(tmp_path, "dealer", clients=1, prepare={8: 1})
    with contextlib.closing(proxy):
        with Connection(tmp_path / "client", listening["server-0"], listening["server-1"]) as connection:
            assert connection.query(INPUTS)[0].tolist() == COMPILED.predict(INPUTS).tolist()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert not errors


class Dripping:
    """A stream that lets one byte through at a time."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def sendall(self, data):
        for place in range(len(data)):
            self._stream.sendall(bytes(data[place : place + 1]))
            threading.Event().wait(0.4)


def test_strangers_that_are_idle_or_drip_keep_no_client_out(tmp_path):
    deploy(MODEL, tmp_path)
    listening, errors, threads, proxy = in_threads(tmp_path, "dealer", clients=1)
    with contextlib.closing(proxy), contextlib.ExitStack() as stack:
        for name in ("server-0", "server-1"):
            for hello in (b"", b"", b"", b"", b"M"):
                stranger = stack.enter_context(socket.create_connection(listening[name]))
                stranger.sendall(hello)
        with Connection(tmp_path / "client", listening["server-0"], listening["server-1"]) as connection:
            assert connection.query(INPUTS)[0].tolist() == COMPILED.predict(INPUTS).tolist()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert not errors


@pytest.mark.parametrize("slow", ["server 0", "server 1"])
def test_a_client_that_drips_its_query_ends_only_its_own_connection(tmp_path, slow):
    deploy(MODEL, tmp_path)
    listening, errors, threads, proxy = in_threads(tmp_path, "dealer", clients=2)
    where = (tmp_path / "client", listening["server-0"], listening["server-1"])
    with contextlib.closing(proxy):
        connection = Connection(*where)
        channel = connection._transports[slow]
        channel._stream = Dripping(channel._stream)
        with pytest.raises(ProtocolError):
            connection.query(INPUTS)
        with Connection(*where) as connection:
            assert connection.query(INPUTS)[0].tolist() == COMPILED.predict(INPUTS).tolist()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert not errors


def test_more_inputs_than_one_batch_may_have_are_split_and_a_batch_that_is_too_large_is_refused_unsent(
    tmp_path, monkeypatch
):
    deploy(MODEL, tmp_path)
    inputs = RANDOM.uniform(-4, 4, (150, 6))
    monkeypatch.setattr(channel, "MAX_FRAME", 1 << 16)
    most = largest_batch(COMPILED.circuit)
    assert 1 < most < len(inputs)
    listening, errors, threads, proxy = in_threads(tmp_path, "dealer", clients=1)
    with contextlib.closing(proxy):
        with Connection(tmp_path / "client", listening["server-0"], listening["server-1"]) as connection:
            with pytest.raises(ValueError, match=f"1 to {most} inputs"):
                connection.query(inputs, batch=most + 1)
            classes, report = connection.query(inputs)
            assert classes.tolist() == COMPILED.predict(inputs).tolist()
            assert report.batches == -(-len(inputs) // most)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert not errors


def test_folders_are_for_their_owner_alone_and_hold_only_their_partys_secrets(tmp_path):
    deploy(MODEL, tmp_path)
    files = {path.name: sorted(p.name for p in path.iterdir()) for path in tmp_path.iterdir()}
    assert files == {
        "dealer": ["circuit.json", "party.json", "server-0.key", "server-1.key"],
        "server-0": ["circuit.json", "client.key", "dealer.key", "party.json", "server-1.key", "weights.bin"],
        "server-1": ["circuit.json", "client.key", "dealer.key", "party.json", "server-0.key", "weights.bin"],
        "client": ["circuit.json", "party.json", "server-0.key", "server-1.key"],
    }
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    with pytest.raises(FileExistsError):
        deploy(MODEL, tmp_path)
    assert "weights" not in repr(Party.load(tmp_path / "server-0"))


def test_both_shares_of_the_weights_add_up_to_the_model_and_each_alone_is_random(tmp_path):
    deploy(MODEL, tmp_path)
    shares = [Party.load(tmp_path / f"server-{party}").weights for party in range(2)]
    for first, second, whole in zip(*shares, COMPILED.weights, strict=True):
        for name, integers in whole.items():
            assert ((first[name] + second[name]).view(np.int64) == integers).all()
            assert not (first[name].view(np.int64) == integers).any()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weights.bin", lambda data: data[:-1]),
        ("weights.bin", lambda data: data + b"\0"),
        ("weights.bin", lambda data: b"X" + data[1:]),
        ("weights.bin", lambda data: data[:5] + b"\1" + data[6:]),
        ("weights.bin", lambda data: data[:6] + bytes(32) + data[38:]),
        ("weights.bin", lambda data: b""),
        ("circuit.json", lambda data: data + b" "),
        ("circuit.json", lambda data: b"{}"),
        ("party.json", lambda data: b"[]"),
        ("party.json", lambda data: json.dumps({"format": "medcrypt-party-1", "role": "boss"}).encode()),
        ("party.json", lambda data: json.dumps({"format": "medcrypt-party-1", "role": []}).encode()),
    ],
)
def test_a_changed_folder_is_refused(tmp_path, name, change):
    deploy(MODEL, tmp_path)
    path = tmp_path / "server-0" / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(FormatError):
        Party.load(tmp_path / "server-0")


def test_a_client_does_not_serve_and_a_server_does_not_ask(tmp_path):
    deploy(MODEL, tmp_path)
    with pytest.raises(ValueError, match="client"):
        serve(tmp_path / "client")
    with pytest.raises(ValueError, match="client"):
        Connection(tmp_path / "dealer", ("127.0.0.1", 1), ("127.0.0.1", 1))
    with pytest.raises(ValueError, match="address"):
        serve(tmp_path / "server-0")


def test_nobody_listening_is_a_protocol_error(tmp_path):
    deploy(MODEL, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    with pytest.raises(ProtocolError):
        Connection(tmp_path / "client", address, address, timeout=1.0)
    with pytest.raises(ProtocolError):
        serve(tmp_path / "server-0", dealer=address, timeout=0.2)
    with pytest.raises(ProtocolError, match="in time"):
        serve(tmp_path / "dealer", timeout=0.2)


def test_no_inputs_are_refused_locally():
    with pytest.raises(ValueError, match="at least one"):
        inference.run_local(MODEL, np.zeros((0, 6)))
