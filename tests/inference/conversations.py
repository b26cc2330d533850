"""Four parties in one thread: their messages pass through the test's hands, and a silence becomes a timeout at once."""

from collections import defaultdict, deque

from medcrypt.errors import ProtocolError
from medcrypt.inference.parties import Accept, Drop, Receive, Send, Swap


class Network:
    """Runs conversations by name until all have ended; `meddle` turns a message into those that arrive."""

    def __init__(self, meddle=None):
        self.meddle = meddle or (lambda sender, receiver, place, message: [message])
        self.queues = defaultdict(deque)  # by (sender, receiver)
        self.log = []  # (sender, receiver, message), as sent
        self.results, self.errors = {}, {}
        self.waiting = {}  # name: the action that it waits for
        self.running = {}
        self.clients = deque()

    def run(self, conversations, clients=()):
        """Run parties, and clients one after the other; return results by name."""
        self.clients.extend(clients)
        self.running = dict(conversations)
        for name in list(self.running):
            self._step(name, None)
        while self.running:
            moved = [self._progress(name) for name in list(self.running)]  # everybody gets a turn
            if not any(moved) and not self._give_up():
                break
        for name, party in list(self.running.items()):
            party.close()
            del self.running[name]
        return self.results

    def _progress(self, name):
        """Serve what a party waits for, if it is there."""
        action = self.waiting.get(name)
        if isinstance(action, Receive | Swap):
            queue = self.queues[action.peer, name]
            if queue:
                self._step(name, queue.popleft())
                return True
        if isinstance(action, Accept):
            if name == "server 0" and "client" not in self.running and self.clients:
                self.running["client"] = self.clients.popleft()
                self._step(name, None)
                self._step("client", None)
                return True
            if name == "server 1" and "client" in self.running:
                self._step(name, None)
                return True
        return False

    def _give_up(self):
        """Nothing moves: somebody who is not patient runs out of time; then those who waited for what has ended.

        Who waits for a client is the first: servers have less patience with clients than with each other.
        """
        for patient in (False, True):
            for name in sorted(self.running, key=lambda name: self.waiting[name].peer != "client"):
                action = self.waiting[name]
                gone = action.peer not in self.running and not isinstance(action, Accept)
                if (not patient and not getattr(action, "patient", False)) or (patient and gone):
                    self._fail(name, ProtocolError("did not answer in time", action.peer))
                    return True
        return False

    def _fail(self, name, error):
        self._advance(name, lambda party: party.throw(error))

    def _step(self, name, reply):
        self._advance(name, lambda party: party.send(reply))

    def _advance(self, name, move):
        """Let a party go on until it has to wait."""
        while True:
            try:
                action = move(self.running[name])
            except StopIteration as stop:
                self.results.setdefault(name, []).append(stop.value)
                return self._end(name)
            except ProtocolError as error:
                self.errors.setdefault(name, error)
                return self._end(name)
            if isinstance(action, Send | Swap):
                self._deliver(name, action.peer, b"".join(action.parts))
            if isinstance(action, Drop):
                self.queues[action.peer, name].clear()
            if isinstance(action, Receive | Swap | Accept):
                self.waiting[name] = action
                return None
            move = lambda party: party.send(None)  # noqa: E731

    def _deliver(self, sender, receiver, message):
        place = sum((sender, receiver) == entry[:2] for entry in self.log)
        self.log.append((sender, receiver, message))
        self.queues[sender, receiver].extend(self.meddle(sender, receiver, place, message))

    def _end(self, name):
        self.running.pop(name)
        self.waiting.pop(name, None)
        if name == "client":
            for server in ("server 0", "server 1"):
                self.queues[server, "client"].clear()
