"""Functions over trees.

A tree is a nest of dicts, lists and tuples; whatever else it holds, `None` included, is a leaf. A leaf has a path: the
keys and positions that lead to it, joined by dots (``"layers.0.weight"``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

Leaf = Callable[[Any], bool]

# What no caller can pass: marks "no element here".
_NOTHING: Any = object()

# Positions without a path that a list may hold; a name in a broken file must not fill the memory.
_MOST_GAPS = 1 << 20


def _rebuild(like: Any, items: Iterable[Any]) -> Any:
    """A list or tuple of the type of `like`; named tuples keep their type."""
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*items)
    return type(like)(items)


def tree_map(fn: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Leaf | None = None) -> Any:
    """Call `fn` on each leaf of `tree` and return the results in the same structure.

    Further trees in `rest` hold at least the structure of `tree`; their elements at the same place are passed along:
    ``fn(leaf, *elements)``. Dicts become plain dicts. `is_leaf` may declare a whole subtree a leaf.

    Raises `KeyError` or `IndexError` where a tree of `rest` lacks an element.
    """
    return _map(fn, tree, rest, is_leaf)


def _map(fn: Callable[..., Any], tree: Any, rest: tuple[Any, ...], is_leaf: Leaf | None) -> Any:
    """`tree_map`. Every step of a training runs it, and before Python 3.12 loops are faster than comprehensions."""
    if is_leaf is not None and is_leaf(tree):
        return fn(tree, *rest)
    if isinstance(tree, dict):
        mapped = {}
        for k, child in tree.items():
            mapped[k] = _map(fn, child, _at(k, rest) if rest else rest, is_leaf)
        return mapped
    if isinstance(tree, (list, tuple)):
        items = []
        for i, child in enumerate(tree):
            items.append(_map(fn, child, _at(i, rest) if rest else rest, is_leaf))
        return items if type(tree) is list else _rebuild(tree, items)
    return fn(tree, *rest)


def _at(place: Any, trees: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([tree[place] for tree in trees])


def tree_map_with_path(
    fn: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Leaf | None = None, path: Any | None = None
) -> Any:
    """Like `tree_map`, with the path of the leaf first: ``fn(path, leaf, *elements)``.

    `path` is what all paths start with. The path of a tree that is itself a leaf is `path`.
    """
    if is_leaf is not None and is_leaf(tree):
        return fn(path, tree, *rest)
    start = f"{path}." if path else ""
    if isinstance(tree, dict):
        return {
            k: tree_map_with_path(fn, child, *(r[k] for r in rest), is_leaf=is_leaf, path=f"{start}{k}")
            for k, child in tree.items()
        }
    if isinstance(tree, (list, tuple)):
        children = (
            tree_map_with_path(fn, child, *(r[i] for r in rest), is_leaf=is_leaf, path=f"{start}{i}")
            for i, child in enumerate(tree)
        )
        return _rebuild(tree, children)
    return fn(path, tree, *rest)


def _flatten_into(put: Callable[[str, Any], None], tree: Any, prefix: str, is_leaf: Leaf | None) -> None:
    if is_leaf is None or not is_leaf(tree):
        if isinstance(tree, dict):
            for k, child in tree.items():
                _flatten_into(put, child, f"{prefix}.{k}", is_leaf)
            return
        if isinstance(tree, (list, tuple)):
            for i, child in enumerate(tree):
                _flatten_into(put, child, f"{prefix}.{i}", is_leaf)
            return
    put(prefix[1:], tree)


@overload
def tree_flatten(
    tree: Any, prefix: str = "", is_leaf: Leaf | None = None, destination: list[tuple[str, Any]] | None = None
) -> list[tuple[str, Any]]: ...
@overload
def tree_flatten(
    tree: Any, prefix: str = "", is_leaf: Leaf | None = None, *, destination: dict[str, Any]
) -> dict[str, Any]: ...
def tree_flatten(
    tree: Any,
    prefix: str = "",
    is_leaf: Leaf | None = None,
    destination: list[tuple[str, Any]] | dict[str, Any] | None = None,
) -> list[tuple[str, Any]] | dict[str, Any]:
    """The leaves of `tree` with their paths, in order: a list of pairs, or a dict if `destination` is one.

    `destination` is filled and returned. `prefix` stands before each path and starts with the separator, which is
    dropped: ``".model"`` gives ``"model.weight"``. `is_leaf` may declare a whole subtree a leaf. The path of a tree
    that is itself a leaf is empty; empty containers leave no trace.
    """
    if destination is None:
        destination = []
    if isinstance(destination, list):
        pairs = destination
        _flatten_into(lambda path, leaf: pairs.append((path, leaf)), tree, prefix, is_leaf)
    elif isinstance(destination, dict):
        _flatten_into(destination.__setitem__, tree, prefix, is_leaf)
    else:
        raise ValueError(f"tree_flatten: destination must be a list, a dict or None, got {type(destination).__name__}")
    return destination


class _Node(dict[str, Any]):
    """A branch while a tree is put together; told apart from dicts that are leaves."""


def _finish(node: Any) -> Any:
    """The tree under a branch: a list when each key is a position, else a dict."""
    if not isinstance(node, _Node):
        return node
    children = {k: _finish(child) for k, child in node.items()}
    if not all(k.isascii() and k.isdigit() for k in children):
        return children
    by_position = {int(k): child for k, child in children.items()}
    if len(by_position) < len(children):
        return children  # "1" and "01" are two keys, but one position
    last = max(by_position)
    if last >= _MOST_GAPS + len(by_position):
        raise ValueError(f"tree_unflatten: a list of {last + 1} elements for {len(by_position)} paths: too many gaps")
    return [by_position.get(i, {}) for i in range(last + 1)]


def tree_unflatten(tree: list[tuple[str, Any]] | dict[str, Any]) -> Any:
    """The tree whose leaves and paths are given: the inverse of `tree_flatten`.

    A branch becomes a list when all its keys are positions, and a dict otherwise. Positions that no path names hold an
    empty dict; no paths at all give an empty list (an empty dict for a dict).

    Raises `ValueError` when a path is given twice.
    """
    pairs = list(tree.items()) if isinstance(tree, dict) else list(tree)
    if not pairs:
        return {} if isinstance(tree, dict) else []
    if len(pairs) == 1 and pairs[0][0] == "":
        return pairs[0][1]
    root = _Node()
    for path, leaf in pairs:
        *branches, last = path.split(".")
        node = root
        for key in branches:
            child = node.get(key, _NOTHING)
            if not isinstance(child, _Node):
                # A leaf stands where a branch is needed: it moves into the branch, under the empty key.
                below = _Node() if child is _NOTHING else _Node({"": child})
                node[key] = below
                child = below
            node = child
        if isinstance(node.get(last), _Node):
            node, last = node[last], ""
        if last in node:
            raise ValueError(f"tree_unflatten: the path {path!r} is given twice")
        node[last] = leaf
    return _finish(root)


def tree_reduce(fn: Callable[[Any, Any], Any], tree: Any, initializer: Any = None, is_leaf: Leaf | None = None) -> Any:
    """Fold the leaves of `tree` in order: ``fn(... fn(fn(initializer, leaf0), leaf1) ..., last)``.

    With no `initializer` the first leaf starts the fold. A tree without leaves gives `initializer`.
    """
    result = initializer
    for _, leaf in tree_flatten(tree, is_leaf=is_leaf):
        result = leaf if result is None else fn(result, leaf)
    return result


def _is_void(tree: Any) -> bool:
    return tree is None or (isinstance(tree, (dict, list, tuple)) and not tree)


def tree_merge(tree_a: Any, tree_b: Any, merge_fn: Callable[[Any, Any], Any] | None = None) -> Any:
    """One tree with the elements of both.

    `None` and empty containers count as nothing. Where both trees have a leaf, ``merge_fn(a, b)`` decides.

    Raises `ValueError` where both have one and there is no `merge_fn`.
    """
    if _is_void(tree_a) and not (tree_a is None and tree_b is None):
        return tree_b
    if _is_void(tree_b) and tree_b is not tree_a:
        return tree_a
    if isinstance(tree_a, dict) and isinstance(tree_b, dict):
        merged = dict(tree_a)
        for k, b in tree_b.items():
            merged[k] = tree_merge(merged[k], b, merge_fn) if k in merged else b
        return merged
    if isinstance(tree_a, (list, tuple)) and isinstance(tree_b, (list, tuple)):
        shared = min(len(tree_a), len(tree_b))
        items = [tree_merge(a, b, merge_fn) for a, b in zip(tree_a, tree_b, strict=False)]
        return _rebuild(tree_a, [*items, *tree_a[shared:], *tree_b[shared:]])
    if merge_fn is None:
        raise ValueError("tree_merge: both trees have an element at the same place; pass merge_fn to combine them")
    return merge_fn(tree_a, tree_b)
