"""Products with packed matrices: one row as in decoding, and as many as a prompt has.

plait and MLX multiply the same packed words, in groups of 64. PyTorch's weight-only products on the CPU have groups too
(4 bits), or a scale for each row (8 bits): its results are near, not equal, so they are not compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Cost, Workload, declare, not_offered

F32 = np.float32
GROUP = 64


def weights(rng: np.random.Generator, m: int, k: int, n: int) -> Arrays:
    return [rng.standard_normal((m, k), F32), rng.standard_normal((n, k), F32) / F32(np.sqrt(k))]


def packed_cost(bits: int) -> Any:
    """Packed words, and a scale and a bias of 2 bytes for each group, are read once."""
    return lambda m, k, n: Cost(
        read=n * k * bits // 8 + 4 * n * k // GROUP + 2 * m * k, write=2 * m * n, flops=2 * m * k * n, unit="dot_bf16"
    )


def quantised_product(rows: int, bits: int) -> Workload:
    many = f"{rows} rows" if rows > 1 else "one row"
    made = declare(
        f"quantised_{rows}_{bits}bit",
        f"{many} of 4,096 times 4096 x 4096 of {bits} bits, in bfloat16",
        size=(rows, 4096, 4096),
        quick=(rows, 128, 64),
        inputs=weights,
        cost=packed_cost(bits),
        dtype="bfloat16",
        check=None,
        compiled=False,
    )

    def of_mx(side: Any, x: Any, w: Any) -> Any:
        xp = side.xp
        packed = xp.quantize(w, group_size=GROUP, bits=bits)
        xp.eval(*packed)
        return lambda: side.wait(xp.quantized_matmul(x, *packed, group_size=GROUP, bits=bits))

    def of_torch(side: Any, x: Any, w: Any) -> Any:
        torch = side.xp
        if bits == 8:
            scales = w.abs().amax(1) / 127
            codes = (w / scales[:, None]).round().to(torch.int8)
            return lambda: torch._weight_int8pack_mm(x, codes, scales)
        groups = w.float().reshape(w.shape[0], -1, GROUP)
        low, high = groups.amin(-1), groups.amax(-1)
        scale = (high - low).clamp(min=1e-6) / 15
        codes = ((groups - low[..., None]) / scale[..., None]).round().clamp(0, 15).to(torch.int32)
        words = torch._convert_weight_to_int4pack_for_cpu(codes.reshape(w.shape), 1)
        zeros = torch.stack([scale, low + 8 * scale], -1).transpose(0, 1).contiguous().to(x.dtype)
        return lambda: torch._weight_int4pack_mm_for_cpu(x, words, GROUP, zeros)

    made.builds("mx")(of_mx)
    made.builds("torch")(of_torch)
    not_offered(made, "numpy", "jax", why="no packed products")
    return made


for _rows, _bits in ((1, 4), (1, 8), (32, 4), (512, 4)):
    quantised_product(_rows, _bits)
