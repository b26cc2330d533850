"""Private inference as a service: dealer and two servers as processes on the loopback, and Paillier alone.

CrypTen's figures are those it published, for two processes on one machine: its models, its rounding,
a dealer whose work is not counted, 2021's processors. They stand beside ours to give the order of magnitude.
"""

import statistics
from collections.abc import Iterator

import numpy as np

from measuring import Row, alternate, at_most
from medcrypt import inference, paillier
from medcrypt.inference.linear import Form, LinearClient, LinearServer

CRYPTEN = "CrypTen, as published"
THREE = "dealer and two servers on the loopback; dealt beforehand"


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    random = np.random.default_rng(1)
    images = random.uniform(0, 1, (100 if quick else 1000, 64))
    yield from _perceptron(random, images, 20 if quick else 100)
    yield from _network(random, images.reshape(-1, 1, 8, 8), 5 if quick else 25)
    yield from _radiomics(random, 1 if quick else 3)


def _perceptron(random: np.random.Generator, images: np.ndarray, singles: int) -> Iterator[Row]:
    """Digits, 64-64-10: one image at a time, and many at once."""
    model = inference.Sequential.from_arrays(
        [
            (random.normal(size=(64, 64)) / 8, random.normal(size=64)),
            (random.normal(size=(64, 10)) / 8, random.normal(size=10)),
        ],
        clip=1.0,
    )
    many = len(images)
    with (
        inference.LocalService(model, prepare={1: singles, many: 3}, timeout=120.0) as service,
        service.connect() as client,
    ):
        one = [client.query(images[i : i + 1])[1].seconds for i in range(singles)]
        all_ = [client.query(images)[1].seconds for _ in range(3)]
    yield Row(
        "digits MLP 64-64-10, one image, online",
        *(
            statistics.median(one),
            "s",
            CRYPTEN,
            0.264,
            at_most(0.005, "s"),
            THREE + "; theirs is another MLP",
        ),
    )
    goal = None if many < 1000 else at_most(1.0, "s")
    yield Row(
        f"digits MLP 64-64-10, {many:,} images at once, online",
        statistics.median(all_),
        goal=goal,
        note=THREE,
    )


def _network(random: np.random.Generator, images: np.ndarray, singles: int) -> Iterator[Row]:
    """Digits, two convolutions and two pools."""
    model = inference.Sequential(
        [
            inference.Conv2d(random.normal(size=(8, 1, 3, 3)) / 3, random.normal(size=8), padding=1),
            inference.ReLU(),
            inference.MaxPool(2),
            inference.Conv2d(random.normal(size=(16, 8, 3, 3)) / 8, random.normal(size=16), padding=1),
            inference.ReLU(),
            inference.MaxPool(2),
            inference.Flatten(),
            inference.Dense(random.normal(size=(64, 10)) / 8, random.normal(size=10)),
            inference.Argmax(),
        ],
        clip=1.0,
    )
    with (
        inference.LocalService(model, (1, 8, 8), prepare={1: singles}, timeout=120.0) as service,
        service.connect() as client,
    ):
        reports = [client.query(images[i : i + 1])[1] for i in range(singles)]
    report = reports[-1]
    yield Row(
        "small CNN on digits, one image, online",
        statistics.median(r.seconds for r in reports),
        goal=at_most(0.06, "s"),
        note=f"{THREE}; {report.rounds} rounds, {report.bytes_sent:,} bytes each way",
    )


def _radiomics(random: np.random.Generator, repeats: int) -> Iterator[Row]:
    """A logistic model of 30 features: query, answer and score, and the same by phe at 2048 bits."""
    weights, features = random.normal(size=30), random.normal(size=30)
    public, private = paillier.generate_keypair(3072)
    server = LinearServer(Form(30), weights, 0.5, limit=None)
    client = LinearClient(server.form, private)

    def ours() -> object:
        return client.scores(server.answer(client.query(features), public))

    ours()
    work = "logistic radiomics model, 30 features, Paillier 3072, whole"
    try:
        from phe import paillier as peer
    except ImportError:
        yield Row(work, alternate(ours, repeats=repeats)[0], goal=at_most(0.05, "s"))
        yield Row.not_installed(work, "phe, 2048 bits")
        return
    their_public, their_private = peer.generate_paillier_keypair(n_length=2048)

    def theirs() -> object:
        encrypted = [their_public.encrypt(float(x)) for x in features]
        score = sum(
            (e * float(w) for e, w in zip(encrypted, weights, strict=True)), start=their_public.encrypt(0.5)
        )
        score.obfuscate()
        return their_private.decrypt(score)

    measured = alternate(ours, theirs, repeats=repeats)
    yield Row(
        work,
        *(measured[0], "s", "phe, 2048 bits, no blinding", measured[1], at_most(0.05, "s")),
        note="CrypTen's logistic regression, as published: 61 ms",
    )
