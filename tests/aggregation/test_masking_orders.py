"""Any order of joins, messages, duplicates, dropouts, lies and replays ends in the exact sum or names a party."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from masking_rounds import STEPS, Rounds, federation, refused

from medcrypt.aggregation import MessageType, Signer
from medcrypt.aggregation.masking.bodies import Reader, list_of, set_of
from medcrypt.aggregation.messages import read_message
from medcrypt.errors import ProtocolError

CLIENTS = [f"hospital {i:03}" for i in range(5)]
ANSWERS = {
    "share": MessageType.ROSTER,
    "upload": MessageType.PARTICIPANTS,
    "confirm": MessageType.UPLOADERS,
    "reveal": MessageType.CONFIRMATIONS,
}
names = st.sampled_from(CLIENTS)


class AnyOrder(RuleBasedStateMachine):
    """Five clients of whom four suffice, and a server that lies now and then."""

    @initialize(colluders=st.sampled_from([None, 0, 1]), head_start=st.integers(0, 4))
    def set_up(self, colluders: int | None, head_start: int) -> None:
        self.rounds = Rounds(*federation(5, 4, colluders=colluders, size=2))
        self.server = self.rounds.server
        self.unsent: dict[str, bytes] = {}
        self.inbox: dict[str, bytes] = {}
        self.old_answers: list[tuple[str, bytes]] = []
        self.accepted: list[tuple[str, bytes]] = []
        self.gone: set[str] = set()
        self.lied = False
        for _ in range(head_start):
            self.go_on(CLIENTS)

    def step_of(self, name: str) -> str:
        return self.rounds.clients[name]._next

    # ---- what should happen -------------------------------------------------------------------------

    @rule(name=names)
    def act(self, name: str) -> None:
        """A client answers, once, what it has received."""
        step = self.step_of(name)
        if name in self.gone or step in {"left", "done"}:
            return
        if step == "advertise":
            self.unsent[name] = self.rounds.clients[name].advertise()
        elif name in self.inbox:
            answer = self.inbox.pop(name)
            self.old_answers.append((name, answer))
            refused(lambda: self.unsent.update({name: self.rounds.act(name, step, answer)}), "server")
            # Only a lie makes a client leave; an answer that is not for its step leaves it where it was.
            assert self.lied or self.step_of(name) != "left"

    @rule(name=names)
    def deliver(self, name: str) -> None:
        """A message reaches the server; what comes too late is refused by name."""
        if name not in self.unsent:
            return
        message = self.unsent.pop(name)
        if not refused(lambda: self.server.receive(message), name):
            self.accepted.append((name, message))

    @rule(data=st.data())
    def everybody(self, data: st.DataObject) -> None:
        """Progress: all who can do their next step, in any order, and the server closes the round."""
        self.go_on(data.draw(st.permutations(CLIENTS)))

    def go_on(self, order: list[str]) -> None:
        for name in order:
            self.act(name)
            self.deliver(name)
        self.close()

    @rule()
    def close(self) -> None:
        """The server goes on, unless too few are left."""
        if self.server.collecting is MessageType.REVEAL:
            return
        collecting = self.server.collecting
        if refused(lambda: self.inbox.update(self.server.close()), None):
            assert self.server.collecting is collecting

    # ---- what should not ----------------------------------------------------------------------------

    @rule(name=names)
    def drop_out(self, name: str) -> None:
        if len(self.gone) < 2:
            self.gone.add(name)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def replay_to_the_server(self, data: st.DataObject) -> None:
        name, message = data.draw(st.sampled_from(self.accepted))
        before = self.snapshot()
        assert refused(lambda: self.server.receive(message), name)
        assert self.snapshot() == before

    @precondition(lambda self: self.old_answers)
    @rule(data=st.data(), to=names)
    def replay_to_a_client(self, data: st.DataObject, to: str) -> None:
        """An answer to an earlier message, its own or another's."""
        owner, answer = data.draw(st.sampled_from(self.old_answers))
        step = self.step_of(to)
        if step in {"advertise", "left", "done"} or owner != to:
            return
        assert refused(lambda: self.rounds.act(to, step, answer), "server")
        assert self.step_of(to) == step

    @rule(name=names, body=st.binary(max_size=80))
    def send_nonsense(self, name: str, body: bytes) -> None:
        """Correctly signed, of the right type."""
        before = self.snapshot()
        signer = Signer(self.rounds.plan, name, self.rounds.identities[name])
        message = signer.write(self.server.collecting, body)
        assert refused(lambda: self.server.receive(message), name)
        assert self.snapshot() == before

    @rule(name=names, without=st.integers(0, 4), member=st.integers(0, 4), twice=st.booleans())
    def lie_to(self, name: str, without: int, member: int, twice: bool) -> None:
        """The server leaves something out, repeats it, or changes a set, for one client."""
        step, plan = self.step_of(name), self.rounds.plan
        if name not in self.inbox or step not in STEPS:
            return
        try:
            reader = Reader(plan, read_message(plan, self.inbox[name], {ANSWERS[step]}))
        except ProtocolError:
            return  # for another step
        clients = set(reader.clients()) if step in {"upload", "confirm"} else None
        items = reader.items()
        changed = [item for place, item in enumerate(items) if place != without]
        if twice:
            changed += changed[:1]
        body = list_of(changed)
        if clients is not None:
            body = set_of(plan, clients ^ {member}) + body
        signer = Signer(plan, "server", self.rounds.identities["server"])
        self.inbox[name] = signer.write(ANSWERS[step], body)
        self.lied = True

    # ---- what holds -----------------------------------------------------------------------------------

    def snapshot(self) -> tuple[object, ...]:
        server = self.server
        return server.collecting, server.waiting_for, server.contributors, server._masked_sum.tobytes()

    @invariant()
    def the_sum_is_exact_or_not_there(self) -> None:
        if not hasattr(self, "rounds"):
            return
        if refused(self.server.total, None, "server"):  # too early, or too few shares
            return
        aggregate = self.server.total()
        assert len(aggregate.contributors) >= self.rounds.plan.threshold
        assert np.array_equal(aggregate.integers, self.rounds.expected(aggregate.contributors))

    def teardown(self) -> None:
        """Without lies, and with at most one client gone, going on leads to the sum."""
        if not hasattr(self, "rounds") or self.lied:
            return
        reached = {name for name in CLIENTS if self.step_of(name) not in {"left"}}
        for _ in range(5):
            self.go_on(CLIENTS)
        finished = [name for name in reached if self.step_of(name) == "done"]
        if len(finished) >= self.rounds.plan.threshold and not set(finished) & set(self.unsent):
            assert self.server.total() is not None


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=20, stateful_step_count=25)
