"""Loss functions.

Each gives one value per element or per example, combined as `reduction` says: "none" leaves them as they are, "mean"
and "sum" give a scalar. `ValueError` for another `reduction` and for shapes that don't fit together.
"""

from __future__ import annotations

import math
from typing import Literal

import plait.core as pc

Reduction = Literal["none", "mean", "sum"]


def _reduce(loss: pc.array, reduction: str) -> pc.array:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return pc.mean(loss)
    if reduction == "sum":
        return pc.sum(loss)
    raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")


def _same_shape(loss: str, **arrays: pc.array) -> None:
    """Raise `ValueError` unless all have one shape: broadcasting here would hide a mistake."""
    if len({x.shape for x in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
        raise ValueError(f"{loss}: shapes must be equal, got {shapes}")


def _without(shape: tuple[int, ...], axis: int, loss: str) -> tuple[int, ...]:
    """`shape` without `axis`."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{loss}: axis {axis} does not exist in shape {shape}")
    axis %= len(shape)
    return shape[:axis] + shape[axis + 1 :]


def _pick(x: pc.array, classes: pc.array, axis: int) -> pc.array:
    """The elements of x that `classes` names along `axis`, which goes away."""
    return pc.take_along_axis(x, pc.expand_dims(classes, axis), axis).squeeze(axis)


def cross_entropy(
    logits: pc.array,
    targets: pc.array,
    weights: pc.array | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "none",
) -> pc.array:
    """Cross entropy between `targets` and the softmax of `logits` along `axis`.

    `targets` are either class indices, with the shape of `logits` without `axis`, or probabilities that sum to 1, with
    the shape of `logits`. `label_smoothing` moves this part of the probability to a uniform distribution. `weights`
    multiply the values of the examples; a mean still divides by the number of examples.

    Shapes: logits (..., C, ...) -> its shape without `axis`.
    Numerics: by `logsumexp`, so that large logits don't overflow.
    """
    shape = _without(logits.shape, axis, "cross_entropy")
    if targets.shape != shape and targets.shape != logits.shape:
        raise ValueError(
            f"cross_entropy: targets must have shape {shape} (classes) or {logits.shape} (probabilities), "
            f"got {targets.shape}"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"cross_entropy: label_smoothing must be at least 0 and less than 1, got {label_smoothing}")
    if weights is not None and weights.shape != shape:
        raise ValueError(f"cross_entropy: weights must have shape {shape}, got {weights.shape}")
    if targets.ndim == logits.ndim:
        score = pc.sum(logits * targets, axis=axis)
    else:
        score = _pick(logits, targets, axis)
    if label_smoothing > 0:
        score = (1 - label_smoothing) * score + label_smoothing * pc.mean(logits, axis=axis)
    loss = pc.logsumexp(logits, axis=axis) - score
    if weights is not None:
        loss = loss * weights
    return _reduce(loss, reduction)


def binary_cross_entropy(
    inputs: pc.array,
    targets: pc.array,
    weights: pc.array | None = None,
    with_logits: bool = True,
    reduction: Reduction = "mean",
) -> pc.array:
    """Cross entropy between probabilities of two classes, element by element.

    `inputs` are logits, or probabilities if not `with_logits`; `targets` are probabilities. `weights` multiply the
    values; a mean still divides by the number of elements.

    Shapes: all equal.
    Numerics: logits don't overflow; logarithms of probabilities are at least -100.
    """
    _same_shape("binary_cross_entropy", inputs=inputs, targets=targets)
    if with_logits:
        loss = pc.logaddexp(inputs, 0) - inputs * targets
    else:
        log_yes = pc.maximum(pc.log(inputs), -100)
        log_no = pc.maximum(pc.log1p(-inputs), -100)
        loss = -(targets * log_yes + (1 - targets) * log_no)
    if weights is not None:
        _same_shape("binary_cross_entropy", weights=weights, inputs=inputs)
        loss = loss * weights
    return _reduce(loss, reduction)


def l1_loss(predictions: pc.array, targets: pc.array, reduction: Reduction = "mean") -> pc.array:
    """|predictions - targets|. Shapes: equal."""
    _same_shape("l1_loss", predictions=predictions, targets=targets)
    return _reduce(pc.abs(predictions - targets), reduction)


def mse_loss(predictions: pc.array, targets: pc.array, reduction: Reduction = "mean") -> pc.array:
    """(predictions - targets) squared. Shapes: equal."""
    _same_shape("mse_loss", predictions=predictions, targets=targets)
    return _reduce(pc.square(predictions - targets), reduction)


def smooth_l1_loss(
    predictions: pc.array, targets: pc.array, beta: float = 1.0, reduction: Reduction = "mean"
) -> pc.array:
    """e^2 / (2 beta) where e = |predictions - targets| is less than `beta`, else e - beta / 2. Shapes: equal.

    Source: Girshick, 2015, "Fast R-CNN".
    """
    _same_shape("smooth_l1_loss", predictions=predictions, targets=targets)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    error = pc.abs(predictions - targets)
    if beta == 0:
        return _reduce(error, reduction)
    return _reduce(pc.where(error < beta, (0.5 / beta) * pc.square(error), error - 0.5 * beta), reduction)


def huber_loss(inputs: pc.array, targets: pc.array, delta: float = 1.0, reduction: Reduction = "none") -> pc.array:
    """e^2 / 2 where e = |inputs - targets| is at most `delta`, else delta * (e - delta / 2). Shapes broadcast.

    Source: Huber, 1964, "Robust Estimation of a Location Parameter".
    """
    error = pc.abs(inputs - targets)
    return _reduce(pc.where(error <= delta, 0.5 * pc.square(error), delta * (error - 0.5 * delta)), reduction)


def log_cosh_loss(inputs: pc.array, targets: pc.array, reduction: Reduction = "none") -> pc.array:
    """log(cosh(inputs - targets)), without overflow. Shapes broadcast."""
    error = inputs - targets
    return _reduce(pc.logaddexp(error, -error) - math.log(2), reduction)


def nll_loss(inputs: pc.array, targets: pc.array, axis: int = -1, reduction: Reduction = "none") -> pc.array:
    """Minus the log-probability that `inputs` give the class `targets` along `axis`.

    Shapes: inputs (..., C, ...), targets of integers, with this shape without `axis` -> the shape of targets.
    """
    shape = _without(inputs.shape, axis, "nll_loss")
    if targets.shape != shape:
        raise ValueError(f"nll_loss: targets must have shape {shape}, got {targets.shape}")
    return _reduce(-_pick(inputs, targets, axis), reduction)


def gaussian_nll_loss(
    inputs: pc.array,
    targets: pc.array,
    vars: pc.array,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> pc.array:
    """Minus the log-density of `targets` under normal distributions with means `inputs` and variances `vars`.

    Variances are at least `eps`. The constant log(2 pi) / 2 is added only if `full`. Shapes: equal.
    """
    _same_shape("gaussian_nll_loss", inputs=inputs, targets=targets, vars=vars)
    var = pc.maximum(vars, eps)
    loss = 0.5 * (pc.log(var) + pc.square(targets - inputs) / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction)


def kl_div_loss(inputs: pc.array, targets: pc.array, axis: int = -1, reduction: Reduction = "none") -> pc.array:
    """Kullback-Leibler divergence of the distribution `inputs` from `targets`; both are log-probabilities along `axis`.

    Shapes broadcast -> without `axis`.
    """
    return _reduce(pc.sum(pc.exp(targets) * (targets - inputs), axis=axis), reduction)


def hinge_loss(inputs: pc.array, targets: pc.array, reduction: Reduction = "none") -> pc.array:
    """max(1 - inputs * targets, 0), where targets are -1 or 1. Shapes broadcast."""
    return _reduce(pc.maximum(1 - inputs * targets, 0), reduction)


def margin_ranking_loss(
    inputs1: pc.array, inputs2: pc.array, targets: pc.array, margin: float = 0.0, reduction: Reduction = "none"
) -> pc.array:
    """max(-targets * (inputs1 - inputs2) + margin, 0): targets 1 want inputs1 larger, -1 inputs2. Shapes: equal."""
    _same_shape("margin_ranking_loss", inputs1=inputs1, inputs2=inputs2, targets=targets)
    return _reduce(pc.maximum(targets * (inputs2 - inputs1) + margin, 0), reduction)


def cosine_similarity_loss(
    x1: pc.array, x2: pc.array, axis: int = 1, eps: float = 1e-8, reduction: Reduction = "none"
) -> pc.array:
    """The cosine of the angle between x1 and x2 along `axis`; the product of norms is at least `eps`.

    This is the similarity itself: to be maximised, or negated. Shapes broadcast -> without `axis`.
    """
    dot = pc.sum(x1 * x2, axis=axis)
    norms = pc.sqrt(pc.sum(pc.square(x1), axis=axis)) * pc.sqrt(pc.sum(pc.square(x2), axis=axis))
    return _reduce(dot / pc.maximum(norms, eps), reduction)


def triplet_loss(
    anchors: pc.array,
    positives: pc.array,
    negatives: pc.array,
    axis: int = -1,
    p: int = 2,
    margin: float = 1.0,
    eps: float = 1e-6,
    reduction: Reduction = "none",
) -> pc.array:
    """max(d(anchors, positives) - d(anchors, negatives) + margin, 0), where d is the p-norm of the difference.

    `eps` is added under the root, whose derivative is then finite where two vectors are equal.

    Shapes broadcast -> without `axis`.
    Source: Balntas et al., 2016, "Learning Local Feature Descriptors with Triplets".
    """

    def distance(other: pc.array) -> pc.array:
        return (pc.sum(pc.abs(anchors - other) ** p, axis=axis) + eps) ** (1 / p)

    return _reduce(pc.maximum(distance(positives) - distance(negatives) + margin, 0), reduction)
