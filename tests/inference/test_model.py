"""Whole models: what they can be made from, digits to the last image, and what one server sees of them."""

import warnings

import numpy as np
import pytest

from medcrypt import inference
from medcrypt.inference import (
    Argmax,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    MaxPool,
    ReLU,
    Sequential,
    Threshold,
)
from reference.inference import Network


def served(compiled, inputs):
    """Classes under sharing."""
    return inference.simulate(compiled.circuit, compiled.share(), inputs)[0]


@pytest.fixture(scope="module")
def digits():
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    return pixels[:1400] / 16, labels[:1400], pixels[1400:] / 16, labels[1400:]


@pytest.fixture(scope="module")
def perceptron(digits):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MLPClassifier((64,), max_iter=25, random_state=0).fit(digits[0], digits[1])


def test_a_perceptron_gives_the_class_of_the_twin_for_every_test_image(digits, perceptron):
    compiled = Sequential.from_sklearn(perceptron, clip=1).compile()
    classes = served(compiled, digits[2])
    assert np.array_equal(classes, compiled.predict(digits[2]))
    (w, v), (b, c) = (
        [part.tolist() for part in parts] for parts in (perceptron.coefs_, perceptron.intercepts_)
    )
    expected = [Network(x.tolist(), 12).dense(w, b).relu().dense(v, c).argmax() for x in digits[2]]
    assert classes.tolist() == expected
    assert (classes == perceptron.predict(digits[2])).mean() > 0.99
    assert (classes == digits[3]).mean() > 0.85


@pytest.fixture(scope="module")
def network():
    """Two convolutions and two pools, with weights of no meaning."""
    g = np.random.default_rng(5)
    state = {"a.weight": g.standard_normal((4, 1, 3, 3)) / 2, "a.bias": g.standard_normal(4) / 4}
    state |= {"b.weight": g.standard_normal((8, 4, 3, 3)) / 4, "b.bias": g.standard_normal(8) / 4}
    state |= {"c.weight": g.standard_normal((10, 32)) / 2, "c.bias": g.standard_normal(10) / 4}
    padded = {"padding": 1}
    architecture = [
        ("a", padded),
        ReLU(),
        MaxPool(2),
        ("b", padded),
        ReLU(),
        MaxPool(2),
        Flatten(),
        "c",
        Argmax(),
    ]
    return state, Sequential.from_state_dict(state, architecture, clip=1)


def convolved(state, image):
    """The same network in the twin."""
    a, b, c = ((state[f"{name}.weight"], state[f"{name}.bias"].tolist()) for name in "abc")
    n = Network([image.tolist()], 12).conv(a[0].tolist(), a[1], padding=1).relu().max_pool(2, 2)
    n.conv(b[0].tolist(), b[1], padding=1).relu().max_pool(2, 2)
    return n.flatten().dense(c[0].T.tolist(), c[1]).argmax()


def test_a_convolutional_network_gives_the_class_of_the_clear_for_every_test_image(digits, network):
    state, model = network
    images = digits[2].reshape(-1, 1, 8, 8)
    compiled = model.compile((1, 8, 8))
    classes = served(compiled, images)
    assert np.array_equal(classes, compiled.predict(images))
    assert classes[:25].tolist() == [convolved(state, image[0]) for image in images[:25]]
    assert len(set(classes.tolist())) > 3


@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=pytest.mark.long)])
def test_random_inputs_give_the_class_of_the_clear(perceptron, count):
    """The long run is the 10^5 of the goal; a tenth of all inputs are at the ends of the range."""
    compiled = Sequential.from_sklearn(perceptron, clip=1).compile()
    generator = np.random.default_rng(count)
    for start in range(0, count, 1000):
        x = generator.uniform(-1, 1, (1000, 64))
        x[:100] = np.sign(x[:100])
        assert np.array_equal(served(compiled, x), compiled.predict(x)), start


def test_every_kernel_path_gives_the_same_classes(kernel_path, monkeypatch, perceptron, digits):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    compiled = Sequential.from_sklearn(perceptron, clip=1).compile()
    assert np.array_equal(served(compiled, digits[2][:9]), compiled.predict(digits[2][:9]))


# --- imports --------------------------------------------------------------------------------------


def test_linear_models_of_scikit_learn_are_taken(digits):
    linear = pytest.importorskip("sklearn.linear_model")
    data = pytest.importorskip("sklearn.datasets").load_breast_cancer()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    binary = linear.LogisticRegression(max_iter=500).fit(x, data.target)
    compiled = Sequential.from_sklearn(binary, clip=16).compile()
    classes = served(compiled, x)
    assert classes.shape == (len(x),)
    assert np.array_equal(classes, compiled.predict(x))
    assert (classes == binary.predict(x)).mean() > 0.995

    several = linear.RidgeClassifier().fit(digits[0], digits[1])
    compiled = Sequential.from_sklearn(several, clip=1).compile()
    assert (served(compiled, digits[2]) == several.predict(digits[2])).mean() > 0.99

    regression = linear.Ridge().fit(digits[0], digits[1])
    scores = served(Sequential.from_sklearn(regression, clip=1, fraction=20).compile(), digits[2])
    assert np.allclose(scores[:, 0], regression.predict(digits[2]), atol=1e-3)


def test_a_binary_perceptron_ends_in_a_threshold(digits):
    network = pytest.importorskip("sklearn.neural_network")
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        small = network.MLPClassifier((5, 4), max_iter=5, random_state=1).fit(digits[0], digits[1] > 4)
    model = Sequential.from_sklearn(small, clip=1)
    assert [type(layer) for layer in model.layers] == [Dense, ReLU, Dense, ReLU, Dense, Threshold]
    assert (served(model.compile(), digits[2]) == small.predict(digits[2])).mean() > 0.99


def test_other_models_of_scikit_learn_are_refused(perceptron):
    tree = pytest.importorskip("sklearn.tree")
    with pytest.raises(ValueError, match="linear model"):
        Sequential.from_sklearn(tree.DecisionTreeClassifier())
    svm, network = pytest.importorskip("sklearn.svm"), pytest.importorskip("sklearn.neural_network")
    x = np.random.default_rng(0).uniform(-1, 1, (60, 3))
    with pytest.raises(ValueError, match="one score for each class"):
        Sequential.from_sklearn(svm.SVC(kernel="linear").fit(x, np.arange(60) % 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = network.MLPClassifier((3,), max_iter=2).fit(x, x > 0)
    with pytest.raises(ValueError, match="one score for each class"):
        Sequential.from_sklearn(labels)
    perceptron.activation = "tanh"
    try:
        with pytest.raises(ValueError, match="tanh"):
            Sequential.from_sklearn(perceptron)
    finally:
        perceptron.activation = "relu"


def test_a_state_dict_becomes_layers_by_its_names():
    g = np.random.default_rng(1)
    state = {"body.0.weight": g.standard_normal((2, 1, 1, 1)).astype(np.float32)}
    state |= {
        f"body.1.{name}": np.ones(2, np.float32) for name in ("weight", "bias", "running_mean", "running_var")
    }
    state |= {
        "body.1.num_batches_tracked": np.int64(7),
        "head.weight": np.ones((3, 2)),
        "head.bias": np.zeros(3),
    }
    model = Sequential.from_state_dict(state, ["body.0", "body.1", Flatten(), "head", Argmax()])
    assert [type(layer) for layer in model.layers] == [Conv2d, BatchNorm, Flatten, Dense, Argmax]
    assert model.layers[3].weights.shape == (2, 3)
    with pytest.raises(ValueError, match="nothing in the architecture uses head"):
        Sequential.from_state_dict(state, ["body.0", "body.1", Flatten(), Argmax()])
    with pytest.raises(ValueError, match="'neck' is not"):
        Sequential.from_state_dict(state, ["neck", Argmax()])


def test_scores_are_opened_only_when_asked():
    with pytest.raises(ValueError, match="reveal_scores"):
        Sequential([Dense(np.eye(2))])
    with pytest.raises(ValueError, match="ends a model"):
        Sequential([Argmax(), Dense(np.eye(2)), Argmax()])
    model = Sequential([Dense(np.eye(2))], reveal_scores=True)
    assert served(model.compile(), np.array([[0.5, -1.5]])).tolist() == [[0.5, -1.5]]


@pytest.mark.parametrize("options", [{"fraction": 0}, {"fraction": 25}, {"clip": 0}, {"truncation": "none"}])
def test_a_model_outside_its_contract_is_refused(options):
    with pytest.raises(ValueError, match=r"."):
        Sequential([Argmax()], **options)
    with pytest.raises(ValueError, match="there are layers"):
        Sequential([])


@pytest.mark.parametrize("bad", [np.nan, 1.01, -np.inf])
def test_inputs_outside_the_clip_are_refused(bad):
    compiled = Sequential([Argmax()], clip=1).compile((3,))
    with pytest.raises(ValueError, match="outside"):
        compiled.circuit.encode(np.array([[0.0, bad, 0.0]]))
    with pytest.raises(ValueError, match="shape"):
        compiled.circuit.encode(np.zeros((1, 4)))


def test_weights_are_neither_in_the_circuit_nor_in_a_repr():
    compiled = Sequential([Dense([[0.123456, -0.5]]), Argmax()], fraction=20).compile()
    integer = str(round(0.123456 * 2**20))
    assert integer not in repr(compiled)
    assert integer not in compiled.circuit.to_bytes().decode()
