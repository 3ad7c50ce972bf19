"""Layers over sequences: recurrent, attention, transformer, positional encodings."""

import math

import numpy as np
import pytest
from scipy import special

import plait.core as pc
import plait.nn as nn
from layer_oracle import check_gradient, dtype_name, near, numbers
from plait.utils import tree_flatten

sigmoid = special.expit


def values(layer):
    return {path: np.array(x).astype(np.float64) for path, x in tree_flatten(layer.parameters())}


def rnn(p, x, h):
    out = []
    for t in range(x.shape[-2]):
        h = np.tanh(x[..., t, :] @ p["Wxh"].T + h @ p["Whh"].T + p.get("bias", 0))
        out.append(h)
    return np.stack(out, -2)


def gru(p, x, h):
    n, out = p["Wh"].shape[1], []
    for t in range(x.shape[-2]):
        a = x[..., t, :] @ p["Wx"].T + p.get("b", 0)
        b = h @ p["Wh"].T
        r, z = sigmoid(a[..., :n] + b[..., :n]), sigmoid(a[..., n : 2 * n] + b[..., n : 2 * n])
        new = np.tanh(a[..., 2 * n :] + r * (b[..., 2 * n :] + p.get("bhn", 0)))
        h = (1 - z) * new + z * h
        out.append(h)
    return np.stack(out, -2)


def lstm(p, x, h, c=0.0):
    n, out, cells = p["Wh"].shape[1], [], []
    for t in range(x.shape[-2]):
        a = x[..., t, :] @ p["Wx"].T + h @ p["Wh"].T + p.get("bias", 0)
        i, f, g, o = (a[..., k * n : (k + 1) * n] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
        cells.append(c)
    return np.stack(out, -2), np.stack(cells, -2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4), (2, 3, 5, 4)])
@pytest.mark.parametrize("name", ["RNN", "GRU"])
def test_recurrent(name, shape, bias):
    layer, formula = getattr(nn, name)(4, 3, bias=bias), {"RNN": rnn, "GRU": gru}[name]
    x, start = numbers(*shape), numbers(*shape[:-2], 3, seed=1)
    near(layer(pc.array(x)), formula(values(layer), x, np.zeros((*shape[:-2], 3))))
    near(layer(pc.array(x), pc.array(start)), formula(values(layer), x, start))
    check_gradient(layer, x, start)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4)])
def test_lstm(shape, bias):
    layer = nn.LSTM(4, 3, bias=bias)
    x, h, c = numbers(*shape), numbers(*shape[:-2], 3, seed=1), numbers(*shape[:-2], 3, seed=2)
    for have, want in zip(layer(pc.array(x)), lstm(values(layer), x, np.zeros_like(h)), strict=True):
        near(have, want)
    for have, want in zip(layer(*map(pc.array, (x, h, c))), lstm(values(layer), x, h, c), strict=True):
        near(have, want)
    check_gradient(lambda x, h, c: layer(x, h, c)[0], x, h, c)


def test_recurrent_settings():
    for relu in (nn.relu, nn.ReLU()):
        assert (np.array(nn.RNN(2, 3, nonlinearity=relu)(pc.array(numbers(6, 2)))) >= 0).all()
    with pytest.raises(ValueError, match="callable"):
        nn.RNN(2, 3, nonlinearity=3)
    for wrong in ((2,), (0, 2), (4, 3)):
        with pytest.raises(ValueError, match="x must be"):
            nn.GRU(2, 3)(pc.ones(wrong))


def attention(layer, q, k, v, mask=None):
    """In float64, head by head."""
    p = {path: np.array(x).astype(np.float64) for path, x in tree_flatten(layer.parameters())}
    project = lambda name, x: x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", 0)  # noqa: E731
    q, k, v = project("query_proj", q), project("key_proj", k), project("value_proj", v)
    heads, parts = layer.num_heads, []
    for i in range(heads):
        cut = lambda x, i=i: np.split(x, heads, axis=-1)[i]  # noqa: E731
        scores = cut(q) @ cut(k).swapaxes(-1, -2) / math.sqrt(q.shape[-1] // heads)
        if mask is not None:
            scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
        parts.append(special.softmax(scores, -1) @ cut(v))
    return project("out_proj", np.concatenate(parts, -1))


@pytest.mark.parametrize("settings", [
    {},
    {"bias": True},
    {"query_input_dims": 4, "key_input_dims": 6, "value_input_dims": 10, "value_dims": 12, "value_output_dims": 14},
])  # fmt: skip
def test_attention(settings):
    layer = nn.MultiHeadAttention(8, 2, **settings)
    q = numbers(2, 5, settings.get("query_input_dims", 8))
    k = numbers(2, 6, settings.get("key_input_dims", 8), seed=1)
    v = numbers(2, 6, settings.get("value_input_dims", 8), seed=2)
    near(layer(*map(pc.array, (q, k, v))), attention(layer, q, k, v))
    mask = numbers(5, 6, seed=3)
    near(layer(*map(pc.array, (q, k, v, mask))), attention(layer, q, k, v, mask))
    allowed = mask > -1
    allowed[:, 0] = True
    near(layer(*map(pc.array, (q, k, v, allowed))), attention(layer, q, k, v, allowed))
    check_gradient(layer, q, k, v)


def test_causal_mask():
    mask = nn.MultiHeadAttention.create_additive_causal_mask(3)
    lowest = np.finfo(np.float32).min
    near(mask, [[0, lowest, lowest], [0, 0, lowest], [0, 0, 0]])
    half = nn.MultiHeadAttention.create_additive_causal_mask(3, pc.float16)
    assert dtype_name(half) == "float16" and np.array(half)[0, 1] == np.finfo(np.float16).min
    x = numbers(1, 3, 8)
    layer = nn.MultiHeadAttention(8, 2)
    a, b = pc.array(x), pc.array(np.concatenate([x[:, :2], x[:, 2:] + 5], 1))
    near(layer(a, a, a, mask)[:, :2], np.array(layer(b, b, b, mask))[:, :2])


def test_heads_must_divide():
    with pytest.raises(ValueError, match="num_heads"):
        nn.MultiHeadAttention(5, 2)


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def mlp(layer, x):
    p = values(layer)
    hidden = np.maximum(x @ p["linear1.weight"].T + p["linear1.bias"], 0)
    return hidden @ p["linear2.weight"].T + p["linear2.bias"]


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layers(norm_first):
    x, memory = numbers(2, 5, 8), numbers(2, 6, 8, seed=1)
    layer = nn.TransformerEncoderLayer(8, 2, mlp_dims=12, norm_first=norm_first)
    if norm_first:
        y = layer_norm(x)
        want = x + attention(layer.attention, y, y, y)
        want = want + mlp(layer, layer_norm(want))
    else:
        want = layer_norm(x + attention(layer.attention, x, x, x))
        want = layer_norm(want + mlp(layer, want))
    near(layer(pc.array(x), None), want, tol=1e-4)
    layer = nn.TransformerDecoderLayer(8, 2, norm_first=norm_first)
    if norm_first:
        y = layer_norm(x)
        want = x + attention(layer.self_attention, y, y, y)
        want = want + attention(layer.cross_attention, layer_norm(want), memory, memory)
        want = want + mlp(layer, layer_norm(want))
    else:
        want = layer_norm(x + attention(layer.self_attention, x, x, x))
        want = layer_norm(want + attention(layer.cross_attention, want, memory, memory))
        want = layer_norm(want + mlp(layer, want))
    near(layer(pc.array(x), pc.array(memory), None, None), want, tol=1e-4)


def test_transformer():
    model = nn.Transformer(8, 2, num_encoder_layers=2, num_decoder_layers=1)
    src, tgt = pc.array(numbers(2, 6, 8)), pc.array(numbers(2, 5, 8, seed=1))
    memory = np.array(src)
    for layer in model.encoder.layers:
        memory = np.array(layer(pc.array(memory), None))
    memory = layer_norm(memory)
    want = layer_norm(np.array(model.decoder.layers[0](tgt, pc.array(memory), None, None)))
    near(model(src, tgt, None, None, None), want, tol=1e-4)
    swapped = nn.Transformer(8, 2, 1, 1, custom_encoder=nn.Identity())
    assert isinstance(swapped.encoder, nn.Identity)


def rotated(x, dims, traditional, base, scale, positions):
    half = dims // 2
    angles = positions[..., None] * scale * base ** (-np.arange(half) / half)
    pair = x[..., :dims].reshape(*x.shape[:-1], half, 2) if traditional else None
    a, b = (pair[..., 0], pair[..., 1]) if traditional else (x[..., :half], x[..., half:dims])
    turned = [a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)]
    turned = np.stack(turned, -1).reshape(*x.shape[:-1], dims) if traditional else np.concatenate(turned, -1)
    return np.concatenate([turned, x[..., dims:]], -1)


@pytest.mark.parametrize("traditional", [True, False])
@pytest.mark.parametrize(("dims", "base", "scale"), [(8, 10000.0, 1.0), (4, 100.0, 0.5)])
def test_rope(dims, base, scale, traditional):
    x = numbers(2, 3, 5, 8)
    layer = nn.RoPE(dims, traditional, base, scale)
    near(layer(pc.array(x)), rotated(x, dims, traditional, base, scale, np.arange(5.0)), tol=1e-4)
    want = rotated(x, dims, traditional, base, scale, np.arange(5.0) + 7)
    near(layer(pc.array(x), offset=7), want, tol=1e-4)
    near(layer(pc.array(x), offset=pc.array(7)), want, tol=1e-4)
    each = np.array([1.0, 4.0])[:, None, None] + np.arange(5.0)
    near(layer(pc.array(x), offset=pc.array([1, 4])), rotated(x, dims, traditional, base, scale, each), tol=1e-4)
    assert layer(pc.array(x).astype(pc.float16)).dtype == pc.float16


def test_rope_refuses():
    with pytest.raises(ValueError, match="even"):
        nn.RoPE(3)
    for x in (pc.ones((2, 4)), pc.ones((1, 2, 2)), pc.ones((1, 2, 4), dtype=pc.int32)):
        with pytest.raises(ValueError, match="RoPE: x must"):
            nn.RoPE(4)(x)


def test_sinusoidal():
    x = numbers(2, 3, low=0, high=20)
    frequencies = np.geomspace(1, 1e-4, 4)
    angles = x[..., None] * frequencies
    near(nn.SinusoidalPositionalEncoding(8)(pc.array(x)), np.concatenate([np.sin(angles), np.cos(angles)], -1) / 2)
    layer = nn.SinusoidalPositionalEncoding(4, 0.1, 2.0, 1.0, cos_first=True, full_turns=True)
    angles = 2 * np.pi * x[..., None] * np.array([2.0, 0.1])
    near(layer(pc.array(x)), np.concatenate([np.cos(angles), np.sin(angles)], -1), tol=1e-4)
    near(nn.SinusoidalPositionalEncoding(2)(pc.array(x)), np.stack([np.sin(x), np.cos(x)], -1))
    assert layer.parameters() == {}
    for dims in (0, 3):
        with pytest.raises(ValueError, match="even"):
            nn.SinusoidalPositionalEncoding(dims)


def test_alibi():
    assert np.array(nn.ALiBi.create_alibi_slope(4)).ravel().tolist() == [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8]
    assert np.array(nn.ALiBi.create_alibi_slope(3)).ravel().tolist() == [2.0**-4, 2.0**-8, 2.0**-2]
    slopes = np.array([2.0**-4, 2.0**-8])[:, None, None]
    distance = np.abs(np.arange(2, 5)[:, None] - np.arange(6))
    near(nn.ALiBi.create_alibi_matrix(5, 6, 2, offset=2), -(distance * slopes)[None])
    scores, mask = numbers(2, 2, 3, 6), numbers(3, 6, seed=1)
    near(nn.ALiBi()(pc.array(scores), offset=2), scores - distance * slopes)
    near(nn.ALiBi()(pc.array(scores), 2, pc.array(mask)), scores - distance * slopes + mask)
    assert nn.ALiBi()(pc.zeros((1, 2, 2, 2)).astype(pc.float16)).dtype == pc.float16
