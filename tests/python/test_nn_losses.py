"""Losses against their formulas in float64."""

import math

import numpy as np
import pytest
from scipy import special, stats

import plait.core as pc
from layer_oracle import check_gradient, near, numbers
from plait.nn import losses

N, C = 7, 5
LOGITS = numbers(N, C, low=-4, high=4)
CLASSES = np.random.default_rng(1).integers(0, C, N).astype(np.int32)
PROBABILITIES = special.softmax(numbers(N, C, seed=2), axis=1)
LOG_SOFTMAX = special.log_softmax(LOGITS.astype(np.float64), axis=1)
NLL = -LOG_SOFTMAX[np.arange(N), CLASSES]
P, T = numbers(4, 6, seed=3), numbers(4, 6, seed=4)
REDUCTIONS = {"none": lambda x: x, "mean": np.mean, "sum": np.sum}


def arrays(*xs):
    return [pc.array(x) for x in xs]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy(reduction):
    finish = REDUCTIONS[reduction]
    logits, classes, probabilities = arrays(LOGITS, CLASSES, PROBABILITIES)
    near(losses.cross_entropy(logits, classes, reduction=reduction), finish(NLL))
    want = -(PROBABILITIES * LOG_SOFTMAX).sum(1)
    near(losses.cross_entropy(logits, probabilities, reduction=reduction), finish(want))
    smooth = 0.9 * NLL - 0.1 * LOG_SOFTMAX.mean(1)
    near(losses.cross_entropy(logits, classes, label_smoothing=0.1, reduction=reduction), finish(smooth))
    smooth = 0.9 * want - 0.1 * LOG_SOFTMAX.mean(1)
    near(losses.cross_entropy(logits, probabilities, label_smoothing=0.1, reduction=reduction), finish(smooth))
    weights = numbers(N, low=0, high=3)
    near(losses.cross_entropy(logits, classes, pc.array(weights), reduction=reduction), finish(weights * NLL))


def test_cross_entropy_along_another_axis():
    x = numbers(2, C, 3, seed=5)
    t = np.random.default_rng(6).integers(0, C, (2, 3)).astype(np.int32)
    want = -np.take_along_axis(special.log_softmax(x, axis=1), t[:, None], 1)[:, 0]
    near(losses.cross_entropy(*arrays(x, t), axis=1), want)
    near(losses.cross_entropy(*arrays(x, t), axis=-2), want)


def test_cross_entropy_of_large_logits():
    near(losses.cross_entropy(*arrays(np.float32([[1000, 0], [0, -1000]]), np.int32([0, 1]))), [0, 1000])


def test_cross_entropy_gradient():
    gradient = pc.grad(lambda x: losses.cross_entropy(x, pc.array(CLASSES), reduction="mean"))(pc.array(LOGITS))
    near(gradient, (np.exp(LOG_SOFTMAX) - np.eye(C)[CLASSES]) / N)


def test_cross_entropy_refuses():
    logits, classes = arrays(LOGITS, CLASSES)
    with pytest.raises(ValueError, match="targets must have shape"):
        losses.cross_entropy(logits, classes[:3])
    with pytest.raises(ValueError, match="label_smoothing"):
        losses.cross_entropy(logits, classes, label_smoothing=1.0)
    with pytest.raises(ValueError, match="weights must have shape"):
        losses.cross_entropy(logits, classes, pc.ones((N + 1,)))
    with pytest.raises(ValueError, match="axis 2"):
        losses.cross_entropy(logits, classes, axis=2)
    with pytest.raises(ValueError, match="'average'"):
        losses.cross_entropy(logits, classes, reduction="average")


def test_binary_cross_entropy():
    x, t = numbers(4, 6, low=-6, high=6), numbers(4, 6, seed=1, low=0, high=1)
    p = special.expit(x.astype(np.float64))
    want = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    near(losses.binary_cross_entropy(*arrays(x, t), reduction="none"), want)
    near(losses.binary_cross_entropy(*arrays(x, t)), want.mean())
    near(losses.binary_cross_entropy(*arrays(x, t, t), reduction="sum"), (want * t).sum())
    near(losses.binary_cross_entropy(*arrays(p.astype(np.float32), t), with_logits=False), want.mean(), tol=1e-4)
    sure = losses.binary_cross_entropy(
        *arrays(np.float32([0, 1, 0]), np.float32([0, 1, 1])), with_logits=False, reduction="none"
    )
    near(sure, [0, 0, 100])
    near(losses.binary_cross_entropy(*arrays(np.float32([500, -500]), np.float32([0, 0])), reduction="none"), [500, 0])
    with pytest.raises(ValueError, match="shapes must be equal"):
        losses.binary_cross_entropy(pc.ones((2,)), pc.ones((2, 1)))


ELEMENTWISE = {
    "l1_loss": lambda p, t: np.abs(p - t),
    "mse_loss": lambda p, t: (p - t) ** 2,
    "smooth_l1_loss": lambda p, t: np.where(np.abs(p - t) < 1, (p - t) ** 2 / 2, np.abs(p - t) - 0.5),
    "huber_loss": lambda p, t: np.where(np.abs(p - t) <= 1, (p - t) ** 2 / 2, np.abs(p - t) - 0.5),
    "log_cosh_loss": lambda p, t: np.log(np.cosh(p - t)),
    "hinge_loss": lambda p, t: np.maximum(1 - p * t, 0),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name):
    loss, want = getattr(losses, name), ELEMENTWISE[name](P.astype(np.float64), T.astype(np.float64))
    for reduction, finish in REDUCTIONS.items():
        near(loss(*arrays(P, T), reduction=reduction), finish(want))
    default = want.mean() if name in ("l1_loss", "mse_loss", "smooth_l1_loss") else want
    near(loss(*arrays(P, T)), default)
    near_kink = (np.abs(P - T) < 0.1) | (np.abs(P * T - 1) < 0.1)
    check_gradient(lambda p, t: loss(p, t, reduction="none"), P, np.where(near_kink, P - 0.5, T))


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "smooth_l1_loss"])
def test_shapes_must_be_equal(name):
    with pytest.raises(ValueError, match=r"got predictions \(3,\), targets \(3, 1\)"):
        getattr(losses, name)(pc.ones((3,)), pc.ones((3, 1)))


def test_thresholds():
    e = np.abs(P - T)
    near(losses.smooth_l1_loss(*arrays(P, T), beta=0.5, reduction="none"), np.where(e < 0.5, e * e, e - 0.25))
    near(losses.smooth_l1_loss(*arrays(P, T), beta=0, reduction="none"), e)
    near(losses.huber_loss(*arrays(P, T), delta=0.5), np.where(e <= 0.5, e * e / 2, 0.5 * (e - 0.25)))
    near(losses.log_cosh_loss(pc.array([300.0]), pc.array([0.0])), [300 - math.log(2)])
    with pytest.raises(ValueError, match="beta"):
        losses.smooth_l1_loss(*arrays(P, T), beta=-1)


def test_nll():
    near(losses.nll_loss(*arrays(LOG_SOFTMAX.astype(np.float32), CLASSES)), NLL)
    near(losses.nll_loss(*arrays(LOG_SOFTMAX.T.astype(np.float32), CLASSES), axis=0, reduction="mean"), NLL.mean())
    with pytest.raises(ValueError, match="targets"):
        losses.nll_loss(*arrays(LOGITS, CLASSES[:2]))


def test_gaussian_nll():
    var = numbers(4, 6, seed=8, low=0.1, high=2)
    density = -stats.norm.logpdf(T.astype(np.float64), P, np.sqrt(var))
    near(losses.gaussian_nll_loss(*arrays(P, T, var), full=True, reduction="none"), density)
    near(losses.gaussian_nll_loss(*arrays(P, T, var)), (density - 0.5 * math.log(2 * math.pi)).mean())
    near(losses.gaussian_nll_loss(pc.zeros((1,)), pc.zeros((1,)), pc.zeros((1,)), eps=1e-2), 0.5 * math.log(1e-2))
    with pytest.raises(ValueError, match="vars"):
        losses.gaussian_nll_loss(*arrays(P, T, var[0]))


def test_kl_divergence():
    q = special.log_softmax(numbers(N, C, seed=9), axis=1)
    want = (np.exp(LOG_SOFTMAX) * (LOG_SOFTMAX - q)).sum(1)
    near(losses.kl_div_loss(*arrays(q, LOG_SOFTMAX.astype(np.float32))), want)
    near(losses.kl_div_loss(*arrays(q.T, LOG_SOFTMAX.T.astype(np.float32)), axis=0, reduction="mean"), want.mean())


def test_margin_ranking():
    sign = np.where(P > 0, 1, -1).astype(np.float32)
    near(losses.margin_ranking_loss(*arrays(P, T, sign), margin=0.3), np.maximum(-sign * (P - T) + 0.3, 0))
    with pytest.raises(ValueError, match="shapes"):
        losses.margin_ranking_loss(*arrays(P, T, sign[0]))


def test_cosine_similarity():
    norms = np.linalg.norm(P, axis=1) * np.linalg.norm(T, axis=1)
    near(losses.cosine_similarity_loss(*arrays(P, T)), (P * T).sum(1) / norms)
    near(losses.cosine_similarity_loss(*arrays(P, T), eps=100.0), (P * T).sum(1) / 100)
    near(losses.cosine_similarity_loss(pc.zeros((1, 2)), pc.zeros((1, 2))), [0])


@pytest.mark.parametrize("p", [1, 2, 3])
def test_triplet(p):
    a, b, c = P.astype(np.float64), T.astype(np.float64), numbers(4, 6, seed=11).astype(np.float64)
    distance = lambda x, y: ((np.abs(x - y) ** p).sum(1) + 1e-6) ** (1 / p)  # noqa: E731
    want = np.maximum(distance(a, b) - distance(a, c) + 0.5, 0)
    near(losses.triplet_loss(*arrays(*(x.astype(np.float32) for x in (a, b, c))), p=p, margin=0.5), want)


def test_triplet_of_equal_vectors_has_a_gradient():
    x = pc.ones((1, 3))
    assert np.isfinite(np.array(pc.grad(lambda a: pc.sum(losses.triplet_loss(a, x, x)))(x))).all()
