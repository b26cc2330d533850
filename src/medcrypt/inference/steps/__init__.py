"""What two servers compute: each step in the clear, its correlated randomness, its rounds, its bytes.

A `Step` is public: shapes, and how large numbers can get. It offers

    plain(x, weights)                         the integers it computes: the definition
    weights_layout()                          the shared arrays that it needs; empty for most steps
    setup_layout(), deal_setup, setup         once a session, only where there are weights
    layout(batch), deal(dealer, batch, secret)  what the dealer makes for one batch, used once
    run(server, x, weights, fixed, material)  a generator: see `sharing.Exchange`
    rounds, sent(batch)                       messages of one server to the other, and their bytes; exact

Shares are uint64 arrays whose first axis is the batch. `bits` always means |x| < 2^bits for the step's inputs, and
follows from the public range of the model's inputs and public bounds of the weights; see `layers`.
"""

from medcrypt.inference.steps.branch import Branch
from medcrypt.inference.steps.decisions import Argmax, Threshold
from medcrypt.inference.steps.knockouts import MaxPool
from medcrypt.inference.steps.products import Dense
from medcrypt.inference.steps.rectification import Divide, Rectify
from medcrypt.inference.steps.step import Step, Weights, domain
from medcrypt.inference.steps.windows import Convolution, SumPool

__all__ = [
    "Argmax",
    "Branch",
    "Convolution",
    "Dense",
    "Divide",
    "MaxPool",
    "Rectify",
    "Step",
    "SumPool",
    "Threshold",
    "Weights",
    "domain",
]
