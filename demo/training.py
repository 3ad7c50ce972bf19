"""Train a small convolutional network on scikit-learn's handwritten digits, and keep what a report needs."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import plait.core as pc
from plait import nn, optimizers
from plait.profile import Profile, TracingError, profile
from plait.progress import Progress
from plait.utils import tree_flatten

SIDE = 8  # pixels of an image's side
BORDER = 1  # empty pixels around it, so that it can be shifted by one
WIDE = SIDE + 2 * BORDER
DOUBTFUL = 7  # correct but unsure readings kept for the report


@dataclass
class Digits:
    """The 1,797 images as 0..1, split 75 to 25 with every digit in proportion.

    Shapes: train_images (1347, 100), with their border; test_images (450, 8, 8, 1); labels (1347,) and (450,).
    """

    train_images: pc.array
    train_labels: pc.array
    test_images: pc.array
    test_labels: pc.array

    @classmethod
    def load(cls) -> Digits:
        pixels, labels = load_digits(return_X_y=True)
        images = (pixels / 16).astype(np.float32).reshape(-1, SIDE, SIDE)
        train, test, train_labels, test_labels = train_test_split(
            images, labels.astype(np.int32), test_size=0.25, stratify=labels, random_state=0
        )
        bordered = np.pad(train, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
        return cls(
            pc.array(bordered.reshape(-1, WIDE * WIDE)),
            pc.array(train_labels),
            pc.array(test[..., None]),
            pc.array(test_labels),
        )


class DigitNet(nn.Module):
    """Two 3x3 convolutions, one pooling, two linear layers.

    Shapes: x (batch, 8, 8, 1) -> logits (batch, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.strokes = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.shapes = nn.Linear(32 * 4 * 4, 64)
        self.dropout = nn.Dropout(0.3)
        self.digit = nn.Linear(64, 10)

    def __call__(self, x: pc.array) -> pc.array:
        x = nn.relu(self.edges(x))
        x = self.pool(nn.relu(self.strokes(x)))
        x = nn.relu(self.shapes(x.reshape(x.shape[0], -1)))
        return self.digit(self.dropout(x))


@dataclass
class Settings:
    epochs: int = 24
    batch: int = 64
    peak_rate: float = 3e-3
    weight_decay: float = 0.05
    shifted: float = 0.5  # share of training images moved by up to one pixel
    seed: int = 0


@dataclass
class Epoch:
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


@dataclass
class Memory:
    """Bytes after one training step, and the most held while it ran."""

    seconds: float
    active: int
    peak: int
    cached: int


@dataclass
class Reading:
    """What the network makes of one test image."""

    pixels: list[list[float]]  # 8 rows of 8, 0 to 1
    label: int
    guess: int
    confidence: float  # probability given to the guess


@dataclass
class Results:
    settings: Settings
    device: str
    parameters: int = 0
    train_images: int = 0
    test_images: int = 0
    train_seconds: float = 0.0  # training steps alone, without evaluation
    epochs: list[Epoch] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    misread: list[Reading] = field(default_factory=list)  # the surest first
    doubtful: list[Reading] = field(default_factory=list)  # read correctly, the least sure first
    profile: Profile | None = None  # of one epoch; None where plait.core has no tracing
    profiled_epoch: int = 0

    @property
    def accuracy(self) -> float:
        return 1 - len(self.misread) / self.test_images

    @property
    def samples_per_second(self) -> float:
        return self.train_images * len(self.epochs) / self.train_seconds


def train(settings: Settings) -> Results:
    """Train from scratch and test; the same settings on the same machine give the same network."""
    return _Training(settings).run()


class _Training:
    def __init__(self, settings: Settings) -> None:
        pc.random.seed(settings.seed)
        self.settings = settings
        self.digits = Digits.load()
        self.model = DigitNet()
        self.optimizer = optimizers.AdamW(learning_rate=settings.peak_rate, weight_decay=settings.weight_decay)
        self.loss_and_gradient = nn.value_and_grad(self.model, self.loss)
        self.step_count = 0
        self.steps_per_epoch = -(-self.digits.train_labels.size // settings.batch)
        self.results = Results(
            settings,
            device=str(pc.default_device()),
            parameters=sum(value.size for _, value in tree_flatten(self.model.trainable_parameters())),
            train_images=self.digits.train_labels.size,
            test_images=self.digits.test_labels.size,
        )

    def run(self) -> Results:
        epochs = self.settings.epochs
        profiled = min(2, epochs)  # the second: in the first, plans are still being made
        with Progress(epochs * self.steps_per_epoch, label="training", unit="steps") as bar:
            for epoch in range(1, epochs + 1):
                if epoch == profiled:
                    train_loss, train_accuracy = self.profiled_epoch(epoch, bar)
                else:
                    train_loss, train_accuracy = self.epoch(bar)
                test_loss, probabilities = self.test()
                test_accuracy = float(np.mean(probabilities.argmax(axis=1) == np.array(self.digits.test_labels)))
                self.results.epochs.append(Epoch(train_loss, train_accuracy, test_loss, test_accuracy))
                bar.advance(0, epoch=f"{epoch}/{epochs}", loss=f"{test_loss:.3f}", accuracy=f"{test_accuracy:.1%}")
        readings = self.readings(probabilities)
        self.results.misread = [r for r in reversed(readings) if r.guess != r.label]
        self.results.doubtful = [r for r in readings if r.guess == r.label][:DOUBTFUL]
        return self.results

    def profiled_epoch(self, epoch: int, bar: Progress) -> tuple[float, float]:
        try:
            with profile() as recorded:
                outcome = self.epoch(bar)
        except TracingError:
            return self.epoch(bar)
        self.results.profile, self.results.profiled_epoch = recorded, epoch
        return outcome

    def epoch(self, bar: Progress) -> tuple[float, float]:
        """One pass over the training images in random order; gives the mean loss and accuracy on the way."""
        count = self.results.train_images
        self.model.train()
        started = time.perf_counter()
        order = pc.random.permutation(count)
        loss_sum, right = 0.0, 0
        for start in range(0, count, self.settings.batch):
            chosen = order[start : start + self.settings.batch]
            loss, correct = self.step(self.shifted(self.digits.train_images[chosen]), self.digits.train_labels[chosen])
            loss_sum += loss * chosen.size
            right += correct
            bar.advance()
        self.results.train_seconds += time.perf_counter() - started
        return loss_sum / count, right / count

    def step(self, images: pc.array, labels: pc.array) -> tuple[float, int]:
        before = time.perf_counter()
        pc.reset_peak_memory()
        self.optimizer.learning_rate = self.rate()
        (loss, correct), gradients = self.loss_and_gradient(images, labels)
        self.optimizer.update(self.model, gradients)
        pc.eval(loss, correct, self.model.state, self.optimizer.state)
        self.step_count += 1
        self.remember(time.perf_counter() - before)
        return loss.item(), correct.item()

    def loss(self, images: pc.array, labels: pc.array) -> tuple[pc.array, pc.array]:
        logits = self.model(images)
        correct = pc.sum(pc.argmax(logits, axis=1) == labels)
        return nn.losses.cross_entropy(logits, labels, reduction="mean"), correct

    def shifted(self, flat: pc.array) -> pc.array:
        """Cut an 8x8 window out of each bordered image, mostly a pixel or none off the middle in each direction."""
        batch = flat.shape[0]
        moved = pc.random.bernoulli(self.settings.shifted, (batch, 1)).astype(pc.int32)
        corner = BORDER + moved * pc.random.randint(-BORDER, BORDER + 1, (batch, 2))
        window = pc.arange(SIDE)[:, None] * WIDE + pc.arange(SIDE)[None, :]
        places = (corner[:, :1] * WIDE + corner[:, 1:]) + window.reshape(1, -1)
        return pc.take_along_axis(flat, places, axis=1).reshape(batch, SIDE, SIDE, 1)

    def rate(self) -> float:
        """Two epochs of warming up, then half a cosine down to nothing."""
        warm_up = (self.step_count + 1) / (2 * self.steps_per_epoch)
        done = self.step_count / (self.settings.epochs * self.steps_per_epoch)
        return self.settings.peak_rate * min(warm_up, 0.5 * (1 + math.cos(math.pi * done)))

    def test(self) -> tuple[float, np.ndarray]:
        """The mean loss on the test images and the probability of each digit, (450, 10)."""
        self.model.eval()
        logits = self.model(self.digits.test_images)
        loss = nn.losses.cross_entropy(logits, self.digits.test_labels, reduction="mean")
        return loss.item(), np.array(pc.softmax(logits, axis=1))

    def readings(self, probabilities: np.ndarray) -> list[Reading]:
        """Every test image as the network reads it, the least sure first."""
        images, labels = np.array(self.digits.test_images)[..., 0], np.array(self.digits.test_labels)
        rows = zip(images, labels, probabilities, strict=True)
        found = [Reading(image.tolist(), int(label), int(p.argmax()), float(p.max())) for image, label, p in rows]
        return sorted(found, key=lambda reading: reading.confidence)

    def remember(self, seconds: float) -> None:
        passed = self.results.memory[-1].seconds if self.results.memory else 0.0
        self.results.memory.append(
            Memory(passed + seconds, pc.get_active_memory(), pc.get_peak_memory(), pc.get_cache_memory())
        )
