"""`Module`: what every layer and model is built from."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import plait.core as pc
from plait.utils import tree_flatten, tree_unflatten

Filter = Callable[["Module", str, Any], bool]


class Module(dict[str, Any]):
    """A container of parameters and of other modules.

    Subclasses assign arrays and modules (or dicts, lists and tuples of them) to attributes and define ``__call__``.
    These attributes are the items of the dict that a module is; everything else is an ordinary attribute. Every array
    whose name does not start with an underscore is a parameter; so are those inside dicts and lists. The content of
    tuples is not looked at.

    A module is therefore a tree, and functions over trees (``plait.utils``) and transforms take it as it is.
    """

    __call__: Callable[..., Any]

    def __init__(self) -> None:
        super().__init__()
        self._no_grad: set[str] = set()
        self._training = True

    @property
    def training(self) -> bool:
        """Whether layers that differ between training and use (dropout, batch norm) behave as in training."""
        return self._training

    @property
    def state(self) -> Module:
        """The module itself: all arrays, to be given to ``compile`` as captured state."""
        return self

    # Attributes

    def __getattr__(self, key: str) -> Any:
        # Called only for what is not an ordinary attribute.
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{key}'") from None

    def __setattr__(self, key: str, val: Any) -> None:
        if isinstance(val, (pc.array, dict, list, tuple)):
            self.__dict__.pop(key, None)
            self[key] = val
        else:
            super().__setattr__(key, val)
            self.pop(key, None)

    def __delattr__(self, name: str) -> None:
        if name in self:
            del self[name]
        else:
            super().__delattr__(name)

    def _extra_repr(self) -> str:
        """What stands between the parentheses of the text form: the layer's own settings."""
        return ""

    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self._extra_repr()}"
        children = tree_flatten(self.children(), is_leaf=self.is_module)
        lines = [f"({name}): {child!r}" for name, child in children]
        if not lines:
            return head + ")"
        return head + "\n" + textwrap.indent("\n".join(lines), "  ") + "\n)"

    # Filters: each takes (module, name, value); the name of an element of a nested container is its path in the module.
    # Of the types asked for, the array comes first: most values are arrays, and the other answer, no, takes longer.

    @staticmethod
    def is_module(value: Any) -> bool:
        """Whether `value` is a `Module`."""
        return isinstance(value, Module)

    @staticmethod
    def valid_child_filter(module: Module, key: str, value: Any) -> bool:
        """Whether `value` is a module or may contain some."""
        return isinstance(value, (dict, list))

    @staticmethod
    def valid_parameter_filter(module: Module, key: str, value: Any) -> bool:
        """Whether `value` is a parameter or may contain some: its name does not start with an underscore."""
        return isinstance(value, (pc.array, dict, list)) and not key.startswith("_")

    @staticmethod
    def trainable_parameter_filter(module: Module, key: str, value: Any) -> bool:
        """As `valid_parameter_filter`, without what is frozen in `module`."""
        return isinstance(value, (pc.array, dict, list)) and not key.startswith("_") and key not in module._no_grad

    # Reading

    def filter_and_map(
        self,
        filter_fn: Filter,
        map_fn: Callable[[Any], Any] | None = None,
        is_leaf_fn: Filter | None = None,
    ) -> dict[str, Any]:
        """The tree of what `filter_fn` lets pass, its leaves replaced by ``map_fn(leaf)``.

        Modules become dicts. Inside a dict or list, what is filtered out leaves an empty dict, so that positions stay.
        A leaf is what is no module, dict or list, or what `is_leaf_fn` says.

        Raises `RuntimeError` when `is_leaf_fn` denies something that has nothing below it.
        """

        result = {}
        for key, value in self.items():
            if filter_fn(self, key, value):
                result[key] = _shown(self, self, key, value, filter_fn, map_fn, is_leaf_fn)
        return result

    def parameters(self) -> dict[str, Any]:
        """All parameters, as a tree of arrays."""
        return self.filter_and_map(self.valid_parameter_filter)

    def trainable_parameters(self) -> dict[str, Any]:
        """The parameters that are not frozen, as a tree of arrays."""
        return self.filter_and_map(self.trainable_parameter_filter)

    def children(self) -> dict[str, Any]:
        """The modules directly below this one, as a tree."""
        return self.filter_and_map(self.valid_child_filter, is_leaf_fn=lambda m, k, v: isinstance(v, Module))

    def leaf_modules(self) -> dict[str, Any]:
        """The modules that contain no further ones, as a tree."""

        def is_leaf(module: Module, key: str, value: Any) -> bool:
            return isinstance(value, Module) and not tree_flatten(value.children(), is_leaf=self.is_module)

        return self.filter_and_map(self.valid_child_filter, is_leaf_fn=is_leaf)

    def named_modules(self) -> list[tuple[str, Module]]:
        """This module and all below it with their paths: parents before children, last child first.

        The path of this module is empty. A module reached by two paths is listed twice.
        """
        found: list[tuple[str, Module]] = []
        pending: list[tuple[str, Module]] = [("", self)]
        while pending:
            path, module = pending.pop()
            found.append((path, module))
            prefix = f".{path}" if path else ""
            pending.extend(tree_flatten(module.children(), prefix=prefix, is_leaf=self.is_module))
        return found

    def modules(self) -> list[Module]:
        """This module and all below it, in the order of `named_modules`."""
        return [module for _, module in self.named_modules()]

    # Changing

    def update(self, parameters: dict[str, Any], strict: bool = True) -> Module:  # type: ignore[override]
        """Replace the parameters that the tree `parameters` names; the others stay.

        Shapes and dtypes may change. Raises `ValueError` for a name that is no parameter or a value that is no array,
        and then changes nothing; with ``strict=False`` such elements are passed over. Returns the module.
        """
        return self._replace(parameters, pc.array, strict)

    def update_modules(self, modules: dict[str, Any], strict: bool = True) -> Module:
        """Replace the modules that the tree `modules` names, in the shape that `children` gives; the others stay.

        Raises `ValueError` for a name that is no module or a value that is none, and then changes nothing; with
        ``strict=False`` such elements are passed over. Returns the module.
        """
        return self._replace(modules, Module, strict)

    def _replace(self, new: dict[str, Any], kind: type, strict: bool) -> Module:
        """Put the elements of the tree `new` in their places: all, or in case of an error none."""
        pending: list[tuple[Any, Any, Any]] = []
        _match(self, new, kind, strict, (), pending)
        for container, key, value in pending:
            container[key] = value
        return self

    def apply(self, map_fn: Callable[[pc.array], pc.array], filter_fn: Filter | None = None) -> Module:
        """Replace each parameter (or what `filter_fn` chooses) by ``map_fn(parameter)``. Returns the module.

        Raises `ValueError` when `map_fn` gives something else than an array.
        """
        return self.update(self.filter_and_map(filter_fn or self.valid_parameter_filter, map_fn))

    def apply_to_modules(self, apply_fn: Callable[[str, Module], Any]) -> Module:
        """Call ``apply_fn(path, module)`` for this module and all below it. Returns the module."""
        for path, module in self.named_modules():
            apply_fn(path, module)
        return self

    def set_dtype(
        self,
        dtype: pc.Dtype,
        predicate: Callable[[pc.Dtype], bool] | None = lambda dtype: pc.issubdtype(dtype, pc.floating),
    ) -> None:
        """Cast the parameters whose dtype satisfies `predicate` (all, if it is `None`) to `dtype`."""
        self.apply(lambda p: p.astype(dtype) if predicate is None or predicate(p.dtype) else p)

    def _set_training_mode(self, mode: bool) -> None:
        """A layer that holds something depending on the mode overrides this."""
        self._training = mode

    def train(self, mode: bool = True) -> Module:
        """Set training (``mode=False``: evaluation) mode here and in all modules below. Returns the module."""
        for module in self.modules():
            module._set_training_mode(bool(mode))
        return self

    def eval(self) -> Module:
        """Set evaluation mode here and in all modules below. Returns the module."""
        return self.train(False)

    def freeze(self, *, recurse: bool = True, keys: str | list[str] | None = None, strict: bool = False) -> Module:
        """Take parameters out of training: `trainable_parameters` omits them, so they get no gradient.

        Acts on this module and, if `recurse`, on all below it: on all their parameters or, with `keys`, on those names.
        Raises `KeyError` when `strict` and one of the modules lacks a key; nothing is changed then. Returns the module.
        """
        for module in self._select(recurse, keys, strict):
            if module is not self:
                module.freeze(recurse=False, keys=keys)
            elif keys is None:
                module._no_grad.update(module._own_parameter_names())
            else:
                module._no_grad.update([keys] if isinstance(keys, str) else keys)
        return self

    def unfreeze(self, *, recurse: bool = True, keys: str | list[str] | None = None, strict: bool = False) -> Module:
        """Undo `freeze`: for everything or, with `keys`, for those names. Arguments and errors as there."""
        for module in self._select(recurse, keys, strict):
            if module is not self:
                module.unfreeze(recurse=False, keys=keys)
            elif keys is None:
                module._no_grad.clear()
            else:
                module._no_grad.difference_update([keys] if isinstance(keys, str) else keys)
        return self

    def _select(self, recurse: bool, keys: str | list[str] | None, strict: bool) -> list[Module]:
        """The modules that `freeze` acts on, after checking them if `strict`."""
        named = self.named_modules() if recurse else [("", self)]
        if strict and keys is not None:
            for path, module in named:
                for key in [keys] if isinstance(keys, str) else keys:
                    if key not in module:
                        where = f" at {path!r}" if path else ""
                        raise KeyError(f"{type(module).__name__}{where} has no parameter {key!r}")
        return [module for _, module in named]

    def _own_parameter_names(self) -> list[str]:
        """Paths of the parameters in this module and its containers, without those of modules below."""
        own = self.filter_and_map(lambda m, k, v: not isinstance(v, Module) and self.valid_parameter_filter(m, k, v))
        return [path for path, _ in tree_flatten(own)]

    # Files

    def save_weights(self, file: str | os.PathLike[str]) -> None:
        """Write all parameters under their paths to `file`, by its ending: ``.safetensors`` or ``.npz``.

        Raises `ValueError` for another ending.
        """
        name = os.fspath(file)
        weights = tree_flatten(self.parameters(), destination={})
        if name.endswith(".npz"):
            pc.savez(name, **weights)
        elif name.endswith(".safetensors"):
            pc.save_safetensors(name, weights)
        else:
            raise ValueError(f"save_weights: the name must end in .safetensors or .npz, got {name!r}")

    def load_weights(
        self,
        file_or_weights: str | os.PathLike[str] | list[tuple[str, pc.array]] | Mapping[str, pc.array],
        strict: bool = True,
    ) -> Module:
        """Replace parameters by those in a ``.safetensors`` or ``.npz`` file, or in pairs of path and array.

        If `strict`, the paths must be exactly those of this module's parameters and the shapes must agree, else
        `ValueError` is raised and nothing changed. Otherwise unknown paths are passed over and shapes may differ.
        Returns the module.
        """
        if isinstance(file_or_weights, (str, os.PathLike)):
            loaded = pc.load(os.fspath(file_or_weights))
            if not isinstance(loaded, dict):
                raise ValueError(f"load_weights: {os.fspath(file_or_weights)!r} holds no named arrays")
            weights: dict[str, Any] = loaded
        else:
            weights = dict(file_or_weights)
        if strict:
            self._check_weights(weights)
        return self.update(tree_unflatten(weights), strict=False)

    def _check_weights(self, weights: dict[str, Any]) -> None:
        """Raise `ValueError` unless `weights` are exactly this module's parameters."""
        have = dict(tree_flatten(self.parameters()))
        problems = [f"missing: {name}" for name in have if name not in weights]
        problems += [f"not in the model: {name}" for name in weights if name not in have]
        for name, value in weights.items():
            if name in have and not isinstance(value, pc.array):
                problems.append(f"no array: {name} is {type(value).__name__}")
            elif name in have and value.shape != have[name].shape:
                problems.append(f"shape: {name} is {value.shape}, the model has {have[name].shape}")
        if problems:
            more = f"\n  ... and {len(problems) - 20} more" if len(problems) > 20 else ""
            raise ValueError("load_weights: the weights don't fit the model\n  " + "\n  ".join(problems[:20]) + more)


# Every step of a training walks the tree of parameters several times. So these are functions of the file, since one
# inside another that calls itself keeps alive what it sees, a model, until garbage is collected; and they loop, since
# a comprehension that sees local variables takes longer before Python 3.12.


def _shown(
    root: Module,
    module: Module,
    key: str,
    value: Any,
    filter_fn: Filter,
    map_fn: Callable[[Any], Any] | None,
    is_leaf_fn: Filter | None,
) -> Any:
    """What `filter_and_map` of `root` makes of a value that passed the filter; it is in `module`, at the path `key`."""
    if not isinstance(value, (dict, list)) if is_leaf_fn is None else is_leaf_fn(module, key, value):
        return value if map_fn is None else map_fn(value)
    if isinstance(value, Module):
        below = {}
        for k, v in value.items():
            if filter_fn(value, k, v):
                below[k] = _shown(root, value, k, v, filter_fn, map_fn, is_leaf_fn)
        return below
    # Inside a dict or list the module and the start of the path stay, and what does not pass leaves its place empty.
    if isinstance(value, dict):
        named = {}
        for k, v in value.items():
            path = f"{key}.{k}"
            passes = filter_fn(module, path, v)
            named[k] = _shown(root, module, path, v, filter_fn, map_fn, is_leaf_fn) if passes else {}
        return named
    if isinstance(value, list):
        listed = []
        for i, v in enumerate(value):
            path = f"{key}.{i}"
            passes = filter_fn(module, path, v)
            listed.append(_shown(root, module, path, v, filter_fn, map_fn, is_leaf_fn) if passes else {})
        return listed
    raise RuntimeError(
        f"{type(root).__name__}.filter_and_map: {key!r} is {type(value).__name__}, which has nothing below it, "
        "but is_leaf_fn says it is no leaf"
    )


def _match(
    old: Any, new: Any, kind: type, strict: bool, path: tuple[Any, ...], pending: list[tuple[Any, Any, Any]]
) -> None:
    """Collect in `pending` which elements of `new`, all of `kind`, replace which in `old`: (container, key, value)."""
    in_list = isinstance(old, list)
    unknown: type[Exception] = ValueError
    if isinstance(new, dict):
        pairs: Any = new.items()
    elif isinstance(new, list) and in_list:
        pairs = enumerate(new)
    elif isinstance(new, list):
        pairs = ((str(i), value) for i, value in enumerate(new))  # names that look like positions
        unknown = KeyError
    elif strict:
        raise ValueError(f"{_text(path) or 'the module'}: expected a tree with its elements, got {type(new).__name__}")
    else:
        return
    for key, value in pairs:
        if not (isinstance(key, int) and key < len(old) if in_list else key in old):
            if strict:
                raise unknown(f"{_text((*path, key))}: the module has no such element")
            continue
        current = old[key]
        if isinstance(value, kind) and isinstance(current, kind):
            pending.append((old, key, value))
        elif isinstance(value, dict) and not value:
            pass  # what `parameters` and `children` put where they show nothing
        elif isinstance(current, (dict, list)):
            _match(current, value, kind, strict, (*path, key), pending)
        elif strict:
            raise ValueError(
                f"{_text((*path, key))}: {type(value).__name__} can't take the place of {type(current).__name__}"
            )


def _text(path: tuple[Any, ...]) -> str:
    return ".".join([str(key) for key in path])
