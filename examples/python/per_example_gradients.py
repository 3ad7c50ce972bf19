"""Gradients of each example on its own, with vmap: python examples/python/per_example_gradients.py --steps 100.

Training clips the gradient of each example before it averages them, so that no single one can pull far.
Source: Abadi et al., 2016, "Deep Learning with Differential Privacy" (without the noise that privacy needs).
"""

import argparse
import math

import numpy as np
from sklearn.datasets import load_digits

import plait.core as pc
from plait.utils import tree_flatten, tree_map

BATCH, HIDDEN, LONGEST, RATE = 64, 64, 1.0, 0.5


def loss(parameters: dict[str, pc.array], image: pc.array, label: pc.array) -> pc.array:
    """Cross-entropy of one image, (64,), and its label, ()."""
    hidden = pc.tanh(image @ parameters["first"] + parameters["shift"])
    logits = hidden @ parameters["second"]
    return pc.logsumexp(logits) - pc.sum(pc.where(pc.arange(10) == label, logits, 0.0))


# One function of a batch from a function of one example: only images and labels gain an axis.
gradient_of_each = pc.vmap(pc.grad(loss), in_axes=(None, 0, 0))
loss_of_each = pc.vmap(loss, in_axes=(None, 0, 0))


def lengths(gradients: dict[str, pc.array]) -> pc.array:
    """The length of each example's gradient over all parameters, (batch,)."""
    return pc.sqrt(sum(pc.sum(g * g, axis=tuple(range(1, g.ndim))) for _, g in tree_flatten(gradients)))


def clipped_mean(gradients: dict[str, pc.array]) -> dict[str, pc.array]:
    scale = pc.minimum(1.0, LONGEST / (lengths(gradients) + 1e-6))
    return tree_map(lambda g: pc.mean(g * scale.reshape(-1, *[1] * (g.ndim - 1)), axis=0), gradients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps

    pc.random.seed(0)
    pixels, digits = load_digits(return_X_y=True)
    images, labels = pc.array((pixels / 16).astype(np.float32)), pc.array(digits.astype(np.int32))
    parameters = {
        "first": pc.random.normal((64, HIDDEN)) / math.sqrt(64),
        "shift": pc.zeros((HIDDEN,)),
        "second": pc.random.normal((HIDDEN, 10)) / math.sqrt(HIDDEN),
    }

    batched = gradient_of_each(parameters, images[:BATCH], labels[:BATCH])  # each leaf has a leading axis of BATCH
    alone = pc.grad(loss)(parameters, images[3], labels[3])
    gap = max(pc.max(pc.abs(batched[name][3] - alone[name])).item() for name in parameters)
    print(f"gradient of one image, out of the batch and alone: they differ by at most {gap:.0e}")

    for step in range(1, steps + 1):
        chosen = pc.random.randint(0, labels.size, (BATCH,))
        gradients = gradient_of_each(parameters, images[chosen], labels[chosen])
        longest = pc.max(lengths(gradients))
        parameters = tree_map(lambda p, g: p - RATE * g, parameters, clipped_mean(gradients))
        pc.eval(parameters, longest)
        if step % 20 == 0 or step == steps:
            mean_loss = pc.mean(loss_of_each(parameters, images, labels)).item()
            print(f"step {step:4}  loss {mean_loss:.4f}  longest gradient {longest.item():.2f}")

    odd = pc.argsort(lengths(gradient_of_each(parameters, images, labels)))[-5:]
    print("hardest images:", ", ".join(f"{i} (a {digits[i]})" for i in reversed(odd.tolist())))


if __name__ == "__main__":
    main()
