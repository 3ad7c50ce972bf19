"""Layers without a window: parameters as recorded, values against NumPy, dtypes, modes, errors."""

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
from layer_oracle import GOLDEN, check_gradient, dtype_name, near, numbers
from plait.utils import tree_flatten

# Distributed layers wait for their operations.
BUILT = [code for code in GOLDEN["parameters"] if hasattr(nn, code.split("(")[0])]


@pytest.mark.parametrize("code", BUILT)
def test_parameters_and_attributes_as_recorded(code):
    layer = eval("nn." + code, {"nn": nn})
    want = dict(GOLDEN["parameters"][code])
    attributes = want.pop("__attributes__")
    parameters = dict(tree_flatten(layer.parameters()))
    assert list(parameters) == list(want)
    trainable = dict(tree_flatten(layer.trainable_parameters()))
    for name, facts in want.items():
        assert list(parameters[name].shape) == facts["shape"], name
        assert dtype_name(parameters[name]) == facts["dtype"], name
        assert (name in trainable) == facts["trainable"], name
        if facts["constant"] is not None:
            near(parameters[name], np.full(facts["shape"], facts["constant"]))
    have = {k for k in [*vars(layer), *layer] if not k.startswith("_") and k not in parameters}
    assert have == set(attributes)


@pytest.mark.parametrize("code", [c for c in GOLDEN["layer_values"] if "init." not in c])
def test_initial_values_as_recorded(code):
    pc.random.seed(0)
    layer = eval("nn." + code.split("; ")[1], {"nn": nn})
    for name, value in tree_flatten(layer.parameters()):
        near(value, GOLDEN["layer_values"][code][name]["value"])


def test_text_forms():
    assert repr(nn.Linear(2, 3, bias=False)) == "Linear(input_dims=2, output_dims=3, bias=False)"
    assert repr(nn.Embedding(5, 4)) == "Embedding(5, 4)"
    assert repr(nn.LayerNorm(3)) == "LayerNorm(3, eps=1e-05, affine=True)"
    assert repr(nn.Dropout(0.3)) == "Dropout(p=0.3)"


def test_linear():
    x = numbers(2, 5, 3)
    layer = nn.Linear(3, 4)
    w, b = np.array(layer.weight), np.array(layer.bias)
    near(layer(pc.array(x)), x @ w.T + b)
    near(layer(pc.array(x[0, 0])), x[0, 0] @ w.T + b)
    plain = nn.Linear(3, 4, bias=False)
    near(plain(pc.array(x)), x @ np.array(plain.weight).T)
    layer.set_dtype(pc.float16)
    assert layer(pc.array(x).astype(pc.float16)).dtype == pc.float16
    check_gradient(lambda x, w, b: layer.update({"weight": w, "bias": b})(x), x, w, b)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="input_dims"):
            nn.Linear(wrong, 3)
    with pytest.raises(ValueError):
        nn.Linear(3, 4)(pc.ones((2, 5)))


def test_identity_takes_anything():
    x = pc.ones((2,))
    assert nn.Identity(1, 2, a=3)(x) is x


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(bias):
    a, b = numbers(6, 5, 2), numbers(6, 5, 3, seed=1)
    layer = nn.Bilinear(2, 3, 4, bias=bias)
    want = np.einsum("...i,kji,...j->...k", a, np.array(layer.weight), b)
    near(layer(pc.array(a), pc.array(b)), want + np.array(layer.bias) if bias else want)


def test_embedding():
    layer = nn.Embedding(5, 3)
    table = np.array(layer.weight)
    indices = np.array([[0, 4], [2, 2]], np.int32)
    near(layer(pc.array(indices)), table[indices])
    near(layer.as_linear(pc.array(table)), table @ table.T)
    loss = lambda w: pc.sum(layer.update({"weight": w})(pc.array(indices)))  # noqa: E731
    near(pc.grad(loss)(pc.array(table)), np.array([1, 0, 2, 0, 1])[:, None] * np.ones((1, 3)))


def test_sequential():
    layer = nn.Sequential(nn.Linear(2, 3), lambda x: x * 2, nn.ReLU())
    x = pc.array(numbers(4, 2))
    near(layer(x), np.maximum(2 * np.array(layer.layers[0](x)), 0))
    assert nn.Sequential()(x) is x
    assert isinstance(layer.layers, list)


def standardized(x, axes, eps=1e-5):
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def affine(layer, seed=3):
    """Give the layer other parameters than 1 and 0; returns them."""
    size = layer.weight.shape[0]
    w, b = numbers(size, seed=seed), numbers(size, seed=seed + 1)
    layer.weight = pc.array(w)
    if "bias" in layer:
        layer.bias = pc.array(b)
    return w, b


def test_layer_norm():
    x = numbers(2, 3, 6)
    layer = nn.LayerNorm(6)
    w, b = affine(layer)
    near(layer(pc.array(x)), standardized(x, -1) * w + b)
    near(nn.LayerNorm(6, affine=False)(pc.array(x)), standardized(x, -1))
    near(nn.LayerNorm(6, eps=1.0, bias=False)(pc.array(x)), standardized(x, -1, 1.0))
    check_gradient(layer, x)
    with pytest.raises(ValueError, match=r"size 6, got shape \(2, 5\)"):
        layer(pc.ones((2, 5)))


def test_rms_norm():
    x = numbers(2, 3, 6)
    layer = nn.RMSNorm(6)
    w, _ = affine(layer)
    near(layer(pc.array(x)), x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w)
    check_gradient(layer, x)
    with pytest.raises(ValueError, match="size 6"):
        layer(pc.ones((2, 5)))


def test_group_norm():
    x = numbers(2, 4, 5, 6)
    ours, theirs = nn.GroupNorm(2, 6), nn.GroupNorm(2, 6, pytorch_compatible=True)
    w, b = affine(ours)
    affine(theirs)
    strided = standardized(x.reshape(2, 20, 3, 2), (1, 2)).reshape(x.shape)
    blocks = standardized(x.reshape(2, 20, 2, 3), (1, 3)).reshape(x.shape)
    near(ours(pc.array(x)), strided * w + b)
    near(theirs(pc.array(x)), blocks * w + b)
    near(nn.GroupNorm(3, 6, affine=False)(pc.array(x[0, 0])), standardized(x[0, 0].reshape(5, 2, 3), 1).reshape(5, 6))
    check_gradient(ours, x)
    with pytest.raises(ValueError, match="divide"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="got shape"):
        ours(pc.ones((2, 5)))


def test_instance_norm():
    x = numbers(2, 4, 5, 6)
    layer = nn.InstanceNorm(6, affine=True)
    w, b = affine(layer)
    near(layer(pc.array(x)), standardized(x, (1, 2)) * w + b)
    near(nn.InstanceNorm(6)(pc.array(x[0])), standardized(x[0], 1))
    with pytest.raises(ValueError, match="3 axes"):
        layer(pc.ones((2, 6)))


@pytest.mark.parametrize("shape", [(8, 6), (3, 4, 6), (2, 3, 4, 6)])
def test_batch_norm(shape):
    x = numbers(*shape)
    axes = tuple(range(len(shape) - 1))
    count = x.size // 6
    layer = nn.BatchNorm(6, momentum=0.2)
    w, b = affine(layer)
    near(layer(pc.array(x)), standardized(x, axes) * w + b)
    mean, var = 0.2 * x.mean(axes), 0.8 + 0.2 * x.var(axes) * count / (count - 1)
    near(layer.running_mean, mean)
    near(layer.running_var, var)
    layer.eval()
    near(layer(pc.array(x)), (x - mean) / np.sqrt(var + 1e-5) * w + b)
    near(layer.running_mean, mean)
    untracked = nn.BatchNorm(6, affine=False, track_running_stats=False)
    assert not untracked.parameters()
    near(untracked.eval()(pc.array(x)), standardized(x, axes))
    check_gradient(lambda x: layer.train()(x), x)


def test_batch_norm_learns_its_averages_under_a_gradient():
    x = numbers(8, 3)
    layer = nn.BatchNorm(3)
    _, grads = nn.value_and_grad(layer, lambda x: pc.sum(layer(x) ** 2))(pc.array(x))
    assert sorted(grads) == ["bias", "weight"]
    near(layer.running_mean, 0.1 * x.mean(0))
    near(layer.running_var, 0.9 + 0.1 * x.var(0, ddof=1))


@pytest.mark.parametrize("shape", [(6,), (2, 5), (2, 2, 2, 2, 6)])
def test_batch_norm_refuses(shape):
    with pytest.raises(ValueError, match="BatchNorm: x must be"):
        nn.BatchNorm(6)(pc.ones(shape))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "layer", ["LayerNorm(64)", "RMSNorm(64)", "GroupNorm(4, 64)", "BatchNorm(64)", "LayerNorm(64, affine=False)"]
)
def test_norms_of_16_bit_inputs(layer, dtype):
    x = pc.array(numbers(4, 64) * 50 + 300).astype(getattr(pc, dtype))  # squares overflow float16
    layer = eval("nn." + layer, {"nn": nn})
    wide = layer(x)
    want = layer(x.astype(pc.float32))
    assert dtype_name(wide) == ("float32" if "weight" in layer else dtype)
    near(wide, np.array(want), tol=1e-4 if "weight" in layer else 2e-2)
    layer.set_dtype(getattr(pc, dtype))
    narrow = layer(x)
    assert dtype_name(narrow) == dtype
    near(narrow, np.array(want), tol=2e-2)


@pytest.mark.parametrize(("layer", "shape", "shared"), [
    ("Dropout", (40, 50), ()),
    ("Dropout2d", (20, 3, 4, 25), (1, 2)),
    ("Dropout2d", (3, 4, 500), (0, 1)),
    ("Dropout3d", (20, 2, 3, 4, 25), (1, 2, 3)),
    ("Dropout3d", (2, 3, 4, 500), (0, 1, 2)),
])  # fmt: skip
def test_dropout(layer, shape, shared):
    pc.random.seed(1)
    drop = getattr(nn, layer)(0.3)
    x = pc.ones(shape)
    y = np.array(drop(x))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 0.1
    assert (kept == kept.max(shared, keepdims=True)).all()
    assert drop.eval()(x) is x
    assert getattr(nn, layer)(0.0)(x) is x
    for p in (1.0, -0.1):
        with pytest.raises(ValueError, match="p must be"):
            getattr(nn, layer)(p)


def test_dropout_removes_infinities_and_keeps_the_dtype():
    y = nn.Dropout(0.5)(pc.full((100,), float("inf")).astype(pc.float16))
    assert y.dtype == pc.float16
    assert set(np.array(y).tolist()) == {0.0, float("inf")}


@pytest.mark.parametrize(("layer", "shape"), [("Dropout2d", (2, 3)), ("Dropout3d", (2, 3, 4))])
def test_dropout_of_channels_needs_positions(layer, shape):
    with pytest.raises(ValueError, match="got shape"):
        getattr(nn, layer)()(pc.ones(shape))


def test_a_seed_repeats_a_model():
    def first():
        pc.random.seed(5)
        return np.array(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))(pc.ones((8, 3))))

    near(first(), first())
