"""Forms of functions below plait.core that python/src/array_api*.cpp binds beside that of the schema, for the stubs."""
# ruff: noqa: E501

from __future__ import annotations

DEVICE = "(*args: Any, device: Device | DeviceType | None, **kwargs: Any) -> array"
STREAM = "stream: StreamOrDevice = None) -> array"
SORTED = f"(x: array, /, *, axis: None | int = -1, descending: bool = False, stable: bool = True, {STREAM}"
REDUCED = f"(x: array, /, *, axis: None | int | Sequence[int] = None, dtype: Dtype | None = None, keepdims: bool = False, {STREAM}"
RUNNING = (
    f"(x: array, /, *, axis: None | int = None, dtype: Dtype | None = None, include_initial: bool = False, {STREAM}"
)
CORRECTED = f"(a: array, /, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, correction: int | float, {STREAM}"

FORMS: dict[str, list[str]] = {
    "argsort": [SORTED],
    "astype": ["(a: array, dtype: Dtype, /, *, copy: bool = True, device: Device | DeviceType | None = None) -> array"],
    "clip": [f"(x: array, /, min: scalar | array | None = None, max: scalar | array | None = None, *, {STREAM}"],
    "cumprod": [RUNNING],
    "cumsum": [RUNNING],
    "diff": [
        f"(x: array, /, *, axis: int = -1, n: int = 1, prepend: array | None = None, append: array | None = None, {STREAM}"
    ],
    "empty": [DEVICE],
    "empty_like": [DEVICE],
    "eye": [DEVICE],
    "full": [
        f"(shape: int | Sequence[int], fill_value: scalar | array, *, dtype: Dtype | None = None, {STREAM}",
        DEVICE,
    ],
    "full_like": [f"(x: array, /, fill_value: scalar | array, *, dtype: Dtype | None = None, {STREAM}", DEVICE],
    "linalg.pinv": [f"(x: array, /, *, rtol: int | float, {STREAM}"],
    "linalg.qr": ["(x: array, /, *, mode: Literal['reduced', 'complete'], stream: StreamOrDevice = None) -> QRResult"],
    "linalg.svd": ["(x: array, /, *, full_matrices: bool, stream: StreamOrDevice = None) -> SVDResult"],
    "linspace": [DEVICE],
    "ones": [DEVICE],
    "ones_like": [DEVICE],
    "prod": [REDUCED],
    "repeat": [f"(x: array, repeats: array, /, *, axis: None | int = None, {STREAM}"],
    "reshape": [f"(x: array, /, shape: Sequence[int], *, copy: bool | None, {STREAM}"],
    "searchsorted": [f"(x1: array, x2: array, /, *, side: str = 'left', sorter: array | None = None, {STREAM}"],
    "sort": [SORTED],
    "std": [CORRECTED],
    "sum": [REDUCED],
    "var": [CORRECTED],
    "zeros": [DEVICE],
    "zeros_like": [DEVICE],
}
