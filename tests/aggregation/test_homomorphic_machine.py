"""Any order of joins, uploads, duplicates, dropouts, lies and replays: the exact sum of one set, or a named party.

The server of this machine has two faces: an honest one, whose state is compared with a model, and a dishonest one that
signs any request it likes. Holders crash and come back between any two steps.
"""

import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from federation import (
    CLIENTS,
    HOLDERS,
    SERVER,
    holder,
    identity,
    make_plan,
    make_update,
    threshold_key,
    upload,
)
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from medcrypt import ProtocolError, aggregation
from medcrypt.aggregation import HomomorphicServer, MessageType, Signer

CLIENT, HOLDER = st.sampled_from(CLIENTS), st.sampled_from(HOLDERS)
SEED = st.integers(0, 3)


class HomomorphicRound(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp())
        self.no_sync = mock.patch("os.fsync")  # nobody cuts the power here
        self.no_sync.start()
        self.public, shares = threshold_key(bits=256)
        self.plan = make_plan(threshold=2, shapes={"w": (3,)}, key=self.public)
        self.shares = dict(zip(HOLDERS, shares, strict=True))
        self.server = HomomorphicServer(self.plan, self.public, identity(SERVER))
        self.written = {}  # (client, seed): upload
        self.accepted = {}  # client: seed
        self.closed = False
        self.answers = {}  # holder: its openings, by the set that they open
        self.taken = set()  # holders whose opening the honest server has

    def teardown(self):
        """Whatever came before: let everybody who still can do what is expected, and see how it ends."""
        if not hasattr(self, "folder"):
            return
        for name in CLIENTS:
            if not self.closed and len(self.accepted) < self.plan.threshold and name not in self.accepted:
                self.deliver_an_upload(name, 0)
        self.close()
        for name in HOLDERS:
            self.a_holder_answers_the_honest_request(name)
            self.deliver_an_opening(name)
        self.ask_for_the_result()
        self.no_sync.stop()
        shutil.rmtree(self.folder)

    def _upload(self, name, seed):
        key = name, seed
        if key not in self.written:
            self.written[key] = upload(self.plan, self.public, name, seed, weight=seed + 1)
        return self.written[key]

    def _refused(self, work, party):
        with pytest.raises(ProtocolError) as refused:
            work()
        assert refused.value.party == party

    @rule(name=CLIENT, seed=SEED)
    def deliver_an_upload(self, name, seed):
        data = self._upload(name, seed)
        if self.closed or name in self.accepted:
            self._refused(lambda: self.server.receive(data), name)
        else:
            assert self.server.receive(data) == name
            self.accepted[name] = seed

    @rule(name=CLIENT, seed=SEED, where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def deliver_a_damaged_upload(self, name, seed, where, bit):
        data = bytearray(self._upload(name, seed))
        data[int(where * len(data))] ^= 1 << bit
        self._refused(lambda: self.server.receive(data), None)

    @rule(name=CLIENT, thief=CLIENT, seed=SEED)
    def copy_an_upload(self, name, thief, seed):
        if name != thief:
            body = aggregation.read_message(self.plan, self._upload(name, seed), {MessageType.UPLOAD}).body
            copy = Signer(self.plan, thief, identity(thief)).write(MessageType.UPLOAD, body)
            self._refused(lambda: self.server.receive(copy), thief)

    @rule(name=CLIENT, round_id=st.integers(1, 3))
    def replay_another_round(self, name, round_id):
        data = upload(self.plan.for_round(round_id), self.public, name, 0)
        self._refused(lambda: self.server.receive(data), name)

    @rule(data=st.binary(max_size=80))
    def deliver_noise(self, data):
        self._refused(lambda: self.server.receive(data), None)

    @rule()
    def close(self):
        if len(self.accepted) < self.plan.threshold:
            self._refused(self.server.request, None)
        else:
            self.server.request()
            self.closed = True

    @precondition(lambda self: self.closed)
    @rule(name=HOLDER)
    def a_holder_answers_the_honest_request(self, name):
        self._ask(name, self.server.request(), frozenset(self.accepted.items()))

    @rule(name=HOLDER, chosen=st.lists(st.tuples(CLIENT, SEED), max_size=4), sort=st.booleans())
    def a_holder_gets_another_request(self, name, chosen, sort):
        chosen = sorted(chosen, key=lambda item: item[0].encode()) if sort else chosen
        uploads = [self._upload(*item) for item in chosen]
        body = len(uploads).to_bytes(4, "big") + b"".join(len(u).to_bytes(8, "big") + u for u in uploads)
        request = Signer(self.plan, SERVER, identity(SERVER)).write(MessageType.REQUEST, body)
        names = [item[0] for item in chosen]
        if len(set(names)) < len(names) or names != sorted(names) or len(names) < self.plan.threshold:
            self._refused(lambda: self._fresh(name).open(request), SERVER)
        else:
            self._ask(name, request, frozenset(chosen))

    def _fresh(self, name):
        """The holder, who remembers nothing but what is on its disk."""
        return holder(self.plan, self.shares[name], name, self.folder)

    def _ask(self, name, request, contributions):
        opened = self.answers.setdefault(name, {})
        if opened and contributions not in opened:
            self._refused(lambda: self._fresh(name).open(request), SERVER)
        else:
            opened[contributions] = self._fresh(name).open(request)

    @precondition(lambda self: self.closed)
    @rule(name=HOLDER)
    def deliver_an_opening(self, name):
        for contributions, data in self.answers.get(name, {}).items():
            if contributions == frozenset(self.accepted.items()) and name not in self.taken:
                assert self.server.receive(data) == name
                self.taken.add(name)
            else:
                self._refused(lambda data=data: self.server.receive(data), name)

    @precondition(lambda self: self.taken)
    @rule(name=HOLDER)
    def deliver_another_holders_opening(self, name):
        for other in self.taken - {name}:
            message = self.answers[other][frozenset(self.accepted.items())]
            body = aggregation.read_message(self.plan, message, {MessageType.OPENING}).body
            copy = Signer(self.plan, name, identity(name)).write(MessageType.OPENING, body)
            self._refused(lambda copy=copy: self.server.receive(copy), name)

    @rule()
    def ask_for_the_result(self):
        if len(self.taken) < 2:
            event("no sum")
            self._refused(self.server.result, None)
            return
        event("a sum was opened")
        aggregate = self.server.result()
        parts = [
            aggregation.quantise(self.plan, make_update(self.plan, seed), seed + 1)
            for seed in self.accepted.values()
        ]
        assert np.array_equal(aggregate.integers, aggregation.add_integers(self.plan, parts))
        assert aggregate.contributors == tuple(sorted(self.accepted))

    @invariant()
    def at_most_one_set_can_be_opened(self):
        """Two holders decrypt together: no two sets have two answers each."""
        answers = getattr(self, "answers", {})
        counts = {}
        for opened in answers.values():
            assert len(opened) <= 1
            for contributions in opened:
                counts[contributions] = counts.get(contributions, 0) + 1
        assert sum(count >= 2 for count in counts.values()) <= 1


TestHomomorphicRound = HomomorphicRound.TestCase
TestHomomorphicRound.settings = settings(stateful_step_count=20)
