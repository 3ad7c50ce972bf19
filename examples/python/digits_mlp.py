"""Train a multilayer perceptron on handwritten digits: python examples/python/digits_mlp.py --steps 300."""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim

BATCH = 128
HELD_BACK = 400  # images kept for testing


def accuracy(model: nn.Module, images: pc.array, labels: pc.array) -> float:
    return pc.mean(pc.argmax(model(images), axis=1) == labels).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps

    pc.random.seed(0)
    pixels, digits = load_digits(return_X_y=True)
    order = pc.random.permutation(len(digits))
    images = pc.array((pixels / 16).astype(np.float32))[order]  # (1797, 64)
    labels = pc.array(digits.astype(np.int32))[order]  # (1797,)
    train_images, train_labels = images[HELD_BACK:], labels[HELD_BACK:]
    test_images, test_labels = images[:HELD_BACK], labels[:HELD_BACK]

    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = optim.Adam(learning_rate=2e-3)
    loss_and_grad = nn.value_and_grad(model, lambda x, y: nn.losses.cross_entropy(model(x), y, reduction="mean"))

    for step in range(1, steps + 1):
        chosen = pc.random.randint(0, train_labels.size, (BATCH,))
        loss, grads = loss_and_grad(train_images[chosen], train_labels[chosen])
        optimizer.update(model, grads)
        pc.eval(model.parameters(), optimizer.state)  # the step runs here
        if step % 50 == 0 or step == steps:
            print(f"step {step:4}  loss {loss.item():.4f}  test {accuracy(model, test_images, test_labels):.1%}")


if __name__ == "__main__":
    main()
