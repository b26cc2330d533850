"""Authenticated frames between two parties, over any stream of bytes.

Two parties that share a key, and know each other's role, open a connection:

    1. both      hello         role, peer's role, 32 random bytes, a fresh X25519 key
    2. both      confirmation  HMAC of the transcript under a key that only the two can derive
    3. from then on frames, each way under its own AES-256-GCM key with a counter as nonce, up to an authenticated close

All keys come from HKDF-Extract(pre-shared key, X25519 secret || SHA-256(both hellos)) by HKDF-Expand (RFC 5869), one
for each purpose and direction. A recording of the connection stays closed when the pre-shared key is lost later. A
frame that is changed, repeated, left out, moved to another place or connection, or the end of the stream without a
close, is a `ProtocolError`, and so is a peer that does not answer in time; afterwards the channel is dead. The
handshake, each message and the close have one deadline each, however many pieces they come in.

Several threads may send and receive on one channel: no nonce is used twice, and each message goes to one of them.

What the frames reveal: their sizes and times.
"""

# pycryptodome is imported when a connection is made: its import costs more than that of numpy.
# ruff: noqa: PLC0415

import hashlib
import hmac
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

from medcrypt._ext.aes import AesGcm
from medcrypt.errors import AuthenticationError, ProtocolError
from medcrypt.keys import SecretKey
from medcrypt.keys.derivation import expand

__all__ = ["MAX_FRAME", "Channel", "connect", "listen_for", "wait_for_any"]

MAX_FRAME = 1 << 30
"""Largest message, in bytes."""

_MAGIC, _VERSION = b"MCCH", 1
_DOMAIN = b"medcrypt/inference/channel/v1\x00"
_NONCE, _PUBLIC, _TAG, _CONFIRMATION = 32, 32, 16, 32
_MAX_ROLE = 64
_DATA, _CLOSE = 0, 1
_ONE_PACKET = 1 << 16


class Channel:
    """One open connection: whole messages in order, or a `ProtocolError`.

    Parameters
    ----------
    stream
        A connected socket. The channel owns it from now on.
    key
        What the two parties share.
    role, peer
        This party's role and the other's, as both know them.
    initiator
        Whether this party opened the connection; exactly one of the two did.
    timeout
        Seconds for any single step of the other party: a whole message, the close.
    handshake
        Seconds for the whole handshake; by default `timeout`.

    Raises
    ------
    ProtocolError
        If the other party is not who it should be, or does not answer.
    TypeError, ValueError
        If an argument is wrong.

    Examples
    --------
    >>> import socket, threading
    >>> from medcrypt import SecretKey
    >>> key, (left, right) = SecretKey.generate(), socket.socketpair()
    >>> def dealer():
    ...     with Channel(left, key, "dealer", "server 0", initiator=True) as channel:
    ...         channel.send(b"triples")
    >>> thread = threading.Thread(target=dealer)
    >>> thread.start()
    >>> with Channel(right, key, "server 0", "dealer", initiator=False) as channel:
    ...     bytes(channel.receive())
    b'triples'
    >>> thread.join()
    """

    def __init__(
        self,
        stream: socket.socket,
        key: SecretKey,
        role: str,
        peer: str,
        *,
        initiator: bool,
        timeout: float = 30.0,
        handshake: float | None = None,
    ) -> None:
        if not isinstance(key, SecretKey):
            raise TypeError("key must be a SecretKey")
        if not 0 < timeout < float("inf"):
            raise ValueError("timeout must be a positive number of seconds")
        self._stream, self.peer = stream, peer
        self.bytes_sent = self.bytes_received = 0
        self._sent = self._received = 0
        self._dead = False
        self._sealer: AesGcm | None = None
        self._opener: AesGcm | None = None
        self._timeout = timeout
        # One thread at a time takes a counter, uses it and moves it on: a nonce that is used twice gives the key away.
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        if stream.family in (socket.AF_INET, socket.AF_INET6):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # ends a `wait` for a lost machine
        try:
            deadline = time.monotonic() + (timeout if handshake is None else handshake)
            self._shake_hands(key, _role(role), _role(peer), initiator, deadline)
        except BaseException:
            self._die()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error there is nothing to say goodbye for: the other party sees a torn connection.
        if kind is None:
            self.close()
        else:
            self.abandon()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a channel holds keys: it is neither pickled nor copied")

    def __repr__(self) -> str:
        return f"Channel(peer={self.peer!r}, {'dead' if self._dead else 'open'})"

    def send(self, *parts: bytes | bytearray | memoryview) -> None:
        """Send one message, made of parts.

        Parameters
        ----------
        parts
            Bytes; together at most `MAX_FRAME`.

        Raises
        ------
        ValueError
            If the message is too long.
        ProtocolError
            If the channel is dead, or the other party does not take it in time.
        """
        self._send_frame(_DATA, parts, self._deadline())

    def receive(self) -> bytes:
        """Return the next message of the other party.

        Returns
        -------
        bytes
            The message.

        Raises
        ------
        ProtocolError
            If it does not come in time, is not authentic, or the other party has closed the channel.
        """
        kind, message = self._receive_frame(self._deadline())
        if kind == _CLOSE:
            self._die()
            raise ProtocolError("closed the connection where a message was expected", self.peer)
        return message

    def wait(self) -> None:
        """Wait, as long as it takes, until the other party has sent something or is gone.

        Raises
        ------
        ProtocolError
            If the channel is dead.
        """
        if self._dead:
            raise ProtocolError("the channel is closed", self.peer)
        wait_for_any([self])

    def fileno(self) -> int:
        """Return the stream's descriptor, for `select`."""
        return self._stream.fileno()

    def close(self) -> None:
        """Say that nothing follows, and wait for the other party to say so, too; then the channel is dead.

        Raises
        ------
        ProtocolError
            If the other party has sent something else, or vanished before its close: something is missing.
        """
        if self._dead:
            return
        try:
            deadline = self._deadline()
            self._send_frame(_CLOSE, (), deadline)
            kind, _ = self._receive_frame(deadline)
        finally:
            self._die()
        if kind != _CLOSE:
            raise ProtocolError("sent a message after the last one that was expected", self.peer)

    def abandon(self) -> None:
        """Close the stream without a word: the other party sees a torn connection."""
        self._die()

    def _deadline(self) -> float:
        """Return when a step that begins now must be over."""
        return time.monotonic() + self._timeout

    def _shake_hands(
        self, key: SecretKey, role: bytes, peer: bytes, initiator: bool, deadline: float
    ) -> None:
        """Exchange hellos, derive the keys, and prove to each other that they are the same."""
        from Crypto.Protocol import DH
        from Crypto.PublicKey import ECC

        private = ECC.generate(curve="Curve25519")
        public = private.public_key().export_key(format="raw")
        own = _hello(role, peer, os.urandom(_NONCE), public)
        self._write(deadline, own)
        expected = _hello(peer, role, bytes(_NONCE), bytes(_PUBLIC))
        other = self._read(len(expected), deadline)
        if other[: -_NONCE - _PUBLIC] != expected[: -_NONCE - _PUBLIC]:
            raise ProtocolError("is not the expected party, or speaks another version", self.peer)
        try:
            theirs = DH.import_x25519_public_key(bytes(other[-_PUBLIC:]))
            shared = DH.key_agreement(eph_priv=private, eph_pub=theirs, kdf=bytes)
        except ValueError:
            raise ProtocolError("sent a key that is not usable", self.peer) from None
        transcript = hashlib.sha256(_DOMAIN + (own + other if initiator else other + own)).digest()
        secret = hmac.digest(key.to_bytes(), _DOMAIN + shared + transcript, "sha512")
        directions = (b"initiator", b"listener") if initiator else (b"listener", b"initiator")
        confirmations = [
            hmac.digest(expand(secret, b"confirm " + d, 32), transcript, "sha256") for d in directions
        ]
        self._write(deadline, confirmations[0])
        if not hmac.compare_digest(self._read(_CONFIRMATION, deadline), confirmations[1]):
            raise ProtocolError("does not hold the shared key", self.peer)
        self._sealer, self._opener = (AesGcm(expand(secret, b"frames of " + d, 32)) for d in directions)

    def _send_frame(
        self, kind: int, parts: tuple[bytes | bytearray | memoryview, ...], deadline: float
    ) -> None:
        """Seal and write one frame: length, kind, ciphertext and tag."""
        message = parts[0] if len(parts) == 1 else b"".join(parts)
        if memoryview(message).nbytes > MAX_FRAME:
            raise ValueError(f"a message has at most {MAX_FRAME} bytes")
        head = struct.pack(">IB", memoryview(message).nbytes, kind)
        with self._sending:
            sealer = self._sealer
            if self._dead or sealer is None:
                raise ProtocolError("the channel is closed", self.peer)
            sealed = sealer.encrypt(_counter(self._sent), message, head)
            self._sent += 1
            # Small frames leave as one packet; large ones are not copied once more.
            self._write(deadline, *((head + sealed,) if len(sealed) < _ONE_PACKET else (head, sealed)))

    def _receive_frame(self, deadline: float) -> tuple[int, bytes]:
        """Read and open one frame."""
        with self._receiving:
            opener = self._opener
            if self._dead or opener is None:
                raise ProtocolError("the channel is closed", self.peer)
            head = self._read(5, deadline)
            size, kind = struct.unpack(">IB", head)
            if size > MAX_FRAME or kind not in (_DATA, _CLOSE) or (kind == _CLOSE and size):
                self._die()
                raise ProtocolError("sent a frame of no known kind", self.peer)
            sealed = self._read(size + _TAG, deadline)
            try:
                message = opener.decrypt(_counter(self._received), sealed, head)
            except AuthenticationError:
                self._die()
                raise ProtocolError(
                    "sent a frame that is not authentic, or not the next one", self.peer
                ) from None
            self._received += 1
            return kind, message

    def _write(self, deadline: float, *pieces: bytes) -> None:
        """Write pieces, in time."""
        try:
            for piece in pieces:
                self._stream.settimeout(_left(deadline))
                self._stream.sendall(piece)  # the timeout is that of the whole call
                self.bytes_sent += len(piece)
        except OSError as error:
            self._die()
            raise ProtocolError(_why(error), self.peer) from None

    def _read(self, size: int, deadline: float) -> bytearray:
        """Read exactly so many bytes, in time."""
        buffer = bytearray(size)
        view, filled = memoryview(buffer), 0
        try:
            while filled < size:
                self._stream.settimeout(
                    _left(deadline)
                )  # that of one `recv` alone would let bytes drip for ever
                got = self._stream.recv_into(view[filled:])
                if not got:
                    self._die()
                    raise ProtocolError("closed the connection without saying so", self.peer)
                filled += got
        except OSError as error:
            self._die()
            raise ProtocolError(_why(error), self.peer) from None
        self.bytes_received += size
        return buffer

    def _die(self) -> None:
        """Close the stream and let the keys go; what comes after is refused."""
        self._dead = True
        self._stream.close()
        self._sealer = self._opener = None


def wait_for_any(streams: Sequence[Channel | socket.socket], timeout: float | None = None) -> list[Any]:
    """Return the streams of which one can read or accept, as soon as there is one; none after `timeout` seconds."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout)]


def connect(
    address: tuple[str, int], key: SecretKey, role: str, peer: str, *, timeout: float = 30.0
) -> Channel:
    """Open a connection to a party that listens.

    Parameters
    ----------
    address
        Host and port.
    key, role, peer, timeout
        As for `Channel`.

    Returns
    -------
    Channel
        Open.

    Raises
    ------
    ProtocolError
        If nobody answers, or the wrong party does.
    """
    try:
        stream = socket.create_connection(address, timeout)
    except OSError as error:
        raise ProtocolError(_why(error), peer) from None
    return Channel(stream, key, role, peer, initiator=True, timeout=timeout)


def listen_for(
    listener: socket.socket, key: SecretKey, role: str, peer: str, *, timeout: float = 30.0
) -> Channel:
    """Wait for a party to connect.

    Parameters
    ----------
    listener
        A listening socket.
    key, role, peer, timeout
        As for `Channel`.

    Returns
    -------
    Channel
        Open.

    Raises
    ------
    ProtocolError
        If nobody connects in time, or the wrong party does.
    """
    listener.settimeout(timeout)
    try:
        stream, _ = listener.accept()
    except OSError as error:
        raise ProtocolError(_why(error), peer) from None
    return Channel(stream, key, role, peer, initiator=False, timeout=timeout)


def _left(deadline: float) -> float:
    """Return the seconds until a deadline, or raise."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _role(role: str) -> bytes:
    """Return a role's bytes."""
    encoded = role.encode()
    if not 1 <= len(encoded) <= _MAX_ROLE:
        raise ValueError(f"a role has 1 to {_MAX_ROLE} bytes")
    return encoded


def _hello(role: bytes, peer: bytes, nonce: bytes, public: bytes) -> bytes:
    """Encode the first message."""
    names = bytes([len(role)]) + role + bytes([len(peer)]) + peer
    return _MAGIC + bytes([_VERSION]) + names + nonce + public


def _counter(number: int) -> bytes:
    """Return the nonce of a frame: its number, 96 bits, big-endian. 2^32 frames are more than a connection has."""
    if number >> 32:
        raise ProtocolError("a connection carries at most 2^32 frames")
    return number.to_bytes(12, "big")


def _why(error: OSError) -> str:
    """Say why the connection failed, without an address."""
    return (
        "did not answer in time"
        if isinstance(error, TimeoutError)
        else f"connection failed ({error.strerror})"
    )
