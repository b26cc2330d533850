"""Frames arrive whole, in order and from the right party, or not at all; and nobody waits for ever."""

import contextlib
import copy
import pickle
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import SecretKey
from medcrypt.errors import ProtocolError
from medcrypt.inference import channel as module
from medcrypt.inference.channel import Channel, connect, listen_for

KEY = SecretKey.from_bytes(bytes(range(32)))
OPENED = []


@pytest.fixture(autouse=True)
def _nothing_left_open():
    """Close every socket that a test has opened."""
    yield
    while OPENED:
        OPENED.pop().close()


def socket_pair():
    """Two connected sockets, closed after the test."""
    pair = socket.socketpair()
    OPENED.extend(pair)
    return pair


def server_socket():
    """A listening socket, closed after the test."""
    OPENED.append(socket.create_server(("127.0.0.1", 0)))
    return OPENED[-1]


def in_thread(work):
    """Run something beside the test; return a function that waits for it and gives its result or its error."""
    outcome = []

    def run():
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()

    def finish():
        thread.join(20)
        assert not thread.is_alive()
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

    return finish


def channels(timeout=5.0, streams=None, **changes):
    """Both ends of a connection."""
    left, right = streams or socket_pair()
    key, role, peer = changes.get("key", KEY), changes.get("role", "client"), changes.get("peer", "server 0")
    finish = in_thread(lambda: Channel(left, key, role, peer, initiator=True, timeout=timeout))
    try:
        other = Channel(
            right, KEY, "server 0", "client", initiator=changes.get("both", False), timeout=timeout
        )
    except ProtocolError:
        # The other end may have been content with what it saw; its next frame would fail.
        with contextlib.suppress(ProtocolError):
            OPENED.append(finish()._stream)
        raise
    return finish(), other


class Between:
    """Somebody on the line who sees everything, and flips a bit of a byte that he chooses."""

    def __init__(self, direction=None, offset=None):
        self.left, inner_left = socket_pair()
        inner_right, self.right = socket_pair()
        self.seen = [bytearray(), bytearray()]
        self.flip = (direction, offset)
        for number, (source, target) in enumerate(((inner_left, inner_right), (inner_right, inner_left))):
            threading.Thread(target=self._forward, args=(source, target, number), daemon=True).start()

    def _forward(self, source, target, direction):
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(1 << 16)):
                place = self.flip[1] - len(self.seen[direction]) if self.flip[0] == direction else -1
                self.seen[direction] += data
                if 0 <= place < len(data):
                    data[place] ^= 1
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.close()


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.binary(max_size=300), max_size=6))
def test_messages_arrive_in_both_directions_and_the_end_is_said(there, back):
    one, other = channels()
    for message in there:
        one.send(message)
    for message in back:
        other.send(message[:5], message[5:])
    assert [bytes(other.receive()) for _ in there] == there
    assert [bytes(one.receive()) for _ in back] == back
    finish = in_thread(one.close)
    other.close()
    finish()
    for channel in (one, other):
        for call in (lambda c=channel: c.send(b""), lambda c=channel: c.receive()):
            with pytest.raises(ProtocolError, match="closed"):
                call()


def test_large_messages_arrive_over_tcp():
    listener = server_socket()
    message = bytes(range(256)) * (1 << 14)
    finish = in_thread(lambda: listen_for(listener, KEY, "server 0", "client", timeout=5))
    one = connect(listener.getsockname(), KEY, "client", "server 0", timeout=5)
    other = finish()
    sending = in_thread(lambda: one.send(message))
    assert other.receive() == message
    sending()
    assert one.bytes_sent == other.bytes_received
    assert one.bytes_sent - len(message) < 300
    finish = in_thread(one.close)
    other.close()
    finish()
    listener.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": SecretKey.from_bytes(bytes(32))}, "does not hold the shared key|closed|failed"),
        ({"role": "dealer"}, "not the expected party|closed|failed"),
        ({"peer": "server 1"}, "not the expected party|closed|failed"),
        ({"both": True}, "does not hold the shared key|closed|failed"),
    ],
)
def test_a_wrong_key_role_or_side_is_refused_by_both(change, message):
    with pytest.raises(ProtocolError, match=message):
        channels(**change)


ATTACKS = {
    "a flipped bit": lambda f: [f[0][:-1] + bytes([f[0][-1] ^ 1]), *f[1:]],
    "another length": lambda f: [f[0][:3] + bytes([f[0][3] ^ 1]) + f[0][4:], *f[1:]],
    "another kind": lambda f: [f[0][:4] + b"\x01" + f[0][5:], *f[1:]],
    "an unknown kind": lambda f: [f[0][:4] + b"\x02" + f[0][5:], *f[1:]],
    "a frame repeated": lambda f: [f[0], f[0], *f[1:]],
    "a frame left out": lambda f: f[1:],
    "frames swapped": lambda f: [f[1], f[0], *f[2:]],
    "the last one cut": lambda f: [*f[:2], f[2][:-1]],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_changed_on_the_way_is_refused(name):
    one, other = channels(timeout=1.0)
    frames = []
    one._write, write = lambda deadline, *pieces: frames.append(b"".join(pieces)), one._write
    for message in (b"first", b"second", b"third"):
        one.send(message)
    write(one._deadline(), b"".join(ATTACKS[name](frames)))

    def receive_all():
        for expected in (b"first", b"second", b"third"):
            assert other.receive() == expected

    with pytest.raises(ProtocolError):
        receive_all()
    with pytest.raises(ProtocolError, match="closed"):
        other.receive()


def test_a_frame_of_the_other_direction_or_connection_is_refused():
    one, other = channels()
    frames = []
    one._write = lambda deadline, *pieces: frames.append(b"".join(pieces))
    one.send(b"hello there")
    other._write(other._deadline(), frames[0])  # reflected to its sender
    fresh_one, fresh = channels()
    fresh_one._write(fresh_one._deadline(), frames[0])  # sent again in another connection
    for victim in (one, fresh):
        with pytest.raises(ProtocolError, match="not authentic"):
            victim.receive()


HELLO = 4 + 1 + 1 + len("client") + 1 + len("server 0") + 32 + 32


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("offset", [0, 4, 6, 14, 25, HELLO - 40, HELLO - 33, HELLO - 20, HELLO, HELLO + 31])
def test_a_handshake_that_is_changed_is_refused(direction, offset):
    def talk():
        between = Between(direction, offset)
        one, other = channels(timeout=1.0, streams=(between.left, between.right))
        one.send(b"x")
        other.receive()
        other.send(b"y")
        one.receive()

    with pytest.raises(ProtocolError):
        talk()


def test_the_end_of_the_stream_without_a_close_is_refused():
    one, other = channels()
    one.send(b"last")
    one._die()
    assert other.receive() == b"last"
    with pytest.raises(ProtocolError, match="without saying so"):
        other.receive()


def test_an_error_inside_tears_the_connection():
    one, other = channels()
    with pytest.raises(RuntimeError), one:
        raise RuntimeError
    with pytest.raises(ProtocolError):
        other.receive()


def test_messages_after_the_close_or_before_it_are_noticed():
    one, other = channels()
    finish = in_thread(one.close)
    other.send(b"unexpected")
    with pytest.raises(ProtocolError, match="after the last"):
        finish()
    with pytest.raises(ProtocolError, match="closed the connection where"):
        other.receive()


def test_nobody_waits_for_ever():
    one, _ = channels(timeout=0.2)
    with pytest.raises(ProtocolError, match=r"server 0: did not answer in time"):
        one.receive()
    silent, _other_end = socket_pair()
    with pytest.raises(ProtocolError, match="in time"):
        Channel(silent, KEY, "client", "server 0", initiator=True, timeout=0.2)
    listener = server_socket()
    with pytest.raises(ProtocolError, match="in time"):
        listen_for(listener, KEY, "server 0", "client", timeout=0.2)
    address = listener.getsockname()
    listener.close()
    with pytest.raises(ProtocolError, match="server 0"):
        connect(address, KEY, "client", "server 0", timeout=0.5)


def test_frames_reveal_nothing_of_repeated_messages_and_channels_nothing_of_keys():
    between = Between()
    one, other = channels(streams=(between.left, between.right))
    for _ in range(2):
        one.send(b"the same message")
        other.receive()
    first, second = between.seen[0][-2 * 37 : -37], between.seen[0][-37:]
    assert first[:5] == second[:5]
    assert first[5:] != second[5:]
    assert b"the same message" not in between.seen[0]
    assert KEY.to_bytes().hex() not in repr(one)
    for leak in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            leak(one)


def test_bad_arguments_are_refused():
    for arguments, error in (
        ({"key": bytes(32)}, TypeError),
        ({"role": ""}, ValueError),
        ({"peer": "x" * 65}, ValueError),
        ({"timeout": 0}, ValueError),
    ):
        fields = {"key": KEY, "role": "client", "peer": "server 0", "timeout": 1.0} | arguments
        stream, _ = socket_pair()
        with pytest.raises(error):
            Channel(
                stream,
                fields["key"],
                fields["role"],
                fields["peer"],
                initiator=True,
                timeout=fields["timeout"],
            )


def test_messages_and_numbers_beyond_the_limits_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_FRAME", 10)
    one, other = channels()
    with pytest.raises(ValueError, match="at most 10 bytes"):
        one.send(bytes(11))
    monkeypatch.setattr(module, "MAX_FRAME", 20)
    one.send(bytes(15))
    monkeypatch.setattr(module, "MAX_FRAME", 10)
    with pytest.raises(ProtocolError, match="no known kind"):
        other.receive()
    with pytest.raises(ProtocolError, match="2\\^32"):
        module._counter(1 << 32)


def test_threads_that_send_at_once_never_share_a_nonce_and_all_arrives():
    one, other = channels()
    sealer, nonces = one._sealer, []

    class Watched:
        def encrypt(self, nonce, message, head):
            nonces.append(bytes(nonce))
            return sealer.encrypt(nonce, message, head)

    one._sealer = Watched()
    messages = [bytes([number]) * (1 << 18) for number in range(4)]
    senders = [in_thread(lambda m=message: [one.send(m) for _ in range(8)]) for message in messages]
    receivers = [in_thread(lambda: [other.receive() for _ in range(16)]) for _ in range(2)]
    for finish in senders:
        finish()
    received = [message for finish in receivers for message in finish()]
    assert len(set(nonces)) == len(nonces) == 32
    assert sorted(received) == sorted(messages * 8)


class Dripping:
    """A stream that lets one byte through at a time."""

    def __init__(self, stream, pause):
        self._stream, self._pause = stream, pause

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def sendall(self, data):
        for place in range(len(data)):
            self._stream.sendall(bytes(data[place : place + 1]))
            threading.Event().wait(self._pause)


def test_a_message_that_drips_in_is_over_at_its_deadline():
    one, other = channels(timeout=0.4)
    one._stream = Dripping(one._stream, 0.1)
    finish = in_thread(lambda: one.send(bytes(40)))
    with pytest.raises(ProtocolError, match="in time"):
        other.receive()
    with contextlib.suppress(ProtocolError):
        finish()


def test_a_handshake_that_drips_in_is_over_at_its_deadline():
    left, right = socket_pair()

    def drip():
        with contextlib.suppress(OSError):
            Dripping(left, 0.1).sendall(bytes(40))

    finish = in_thread(drip)
    with pytest.raises(ProtocolError, match="in time"):
        Channel(right, KEY, "server 0", "client", initiator=False, timeout=20.0, handshake=0.4)
    finish()
