"""Train a small transformer to continue a text by letters: python examples/python/tiny_transformer.py --steps 300.

Source: Vaswani et al., 2017, "Attention Is All You Need"; layer norms come first, as in most later work.
"""

import argparse
import math
from pathlib import Path

import numpy as np

import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim

TEXT = Path(__file__).resolve().parents[2] / "LICENSE"
CONTEXT, BATCH, WIDTH, HEADS, BLOCKS = 32, 16, 64, 4, 2


class Attention(nn.Module):
    """Each place looks back at the places up to itself.  x (batch, length, WIDTH) -> the same."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def __call__(self, x: pc.array) -> pc.array:
        batch, length, _ = x.shape
        heads = self.into(x).reshape(batch, length, 3, HEADS, WIDTH // HEADS).transpose(2, 0, 3, 1, 4)
        queries, keys, values = heads[0], heads[1], heads[2]  # each (batch, heads, length, width of a head)
        scores = queries @ keys.transpose(0, 1, 3, 2) / math.sqrt(WIDTH // HEADS)
        place = pc.arange(length)
        scores = pc.where(place[:, None] >= place[None, :], scores, -1e9)
        seen = pc.softmax(scores, axis=-1) @ values
        return self.out(seen.transpose(0, 2, 1, 3).reshape(batch, length, WIDTH))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def __call__(self, x: pc.array) -> pc.array:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """letters (batch, length) -> logits of the next letter (batch, length, letters)."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(letters, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = [Block() for _ in range(BLOCKS)]
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, letters)

    def __call__(self, letters: pc.array) -> pc.array:
        x = math.sqrt(WIDTH) * (self.letter(letters) + self.place(pc.arange(letters.shape[1])))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


def continued(model: Transformer, letters: list[int], count: int) -> list[int]:
    """Draw `count` letters one after the other, each by its probability."""
    for _ in range(count):
        logits = model(pc.array(letters[-CONTEXT:])[None])[0, -1]
        noise = pc.random.uniform(1e-6, 1 - 1e-6, logits.shape)
        letters = [*letters, pc.argmax(logits - pc.log(-pc.log(noise))).item()]  # the Gumbel trick
    return letters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--text", type=Path, default=TEXT, help="what to learn from")
    options = parser.parse_args()

    pc.random.seed(0)
    text = options.text.read_text(encoding="utf-8")
    alphabet = sorted(set(text))
    letters = pc.array(np.array([alphabet.index(letter) for letter in text], dtype=np.int32))
    model = Transformer(len(alphabet))
    optimizer = optim.AdamW(learning_rate=3e-3, weight_decay=0.01)
    loss_and_grad = nn.value_and_grad(model, lambda x, y: nn.losses.cross_entropy(model(x), y, reduction="mean"))

    for step in range(1, options.steps + 1):
        start = pc.random.randint(0, letters.size - CONTEXT, (BATCH, 1))
        windows = letters[start + pc.arange(CONTEXT + 1)]  # (BATCH, CONTEXT + 1)
        loss, grads = loss_and_grad(windows[:, :-1], windows[:, 1:])
        optimizer.update(model, grads)
        pc.eval(model.parameters(), optimizer.state)
        if step % 50 == 0 or step == options.steps:
            print(f"step {step:4}  loss {loss.item():.3f}")

    beginning = [alphabet.index(letter) for letter in text[:CONTEXT]]
    print("".join(alphabet[letter] for letter in continued(model, beginning, 200)))


if __name__ == "__main__":
    main()
