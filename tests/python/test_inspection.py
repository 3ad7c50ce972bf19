"""What a person at a prompt or in a notebook sees: text forms, help, completion."""

import html
import inspect
import pydoc
import rlcompleter
import types
from typing import Any

import pytest

import plait
import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim
import plait.utils


def test_text_forms_say_values_and_dtype() -> None:
    assert repr(pc.array([1, 2])) == "array([1, 2], dtype=int32)"
    assert str(pc.array(2.5)) == "array(2.5, dtype=float32)"
    assert repr(pc.array([[True], [False]])) == "array([[True],\n       [False]], dtype=bool)"
    assert repr(pc.array(1 + 2j)) == "array(1+2j, dtype=complex64)"
    assert repr(pc.zeros((0, 3))) == "array([], dtype=float32)"
    assert repr(pc.array([float("nan"), float("inf")])) == "array([nan, inf], dtype=float32)"


def test_large_arrays_print_their_edges_without_being_written_out() -> None:
    text = repr(pc.arange(1_000_000).reshape(1000, 1000))
    assert text.count("...") == 7 and text.count("\n") == 6 and "999999" in text
    assert "..." in repr(pc.zeros((1 << 40,)))  # four terabytes


def test_notebooks_show_the_same_text_and_the_shape() -> None:
    def shown(a: pc.array) -> str:
        text: str = a._repr_html_()  # type: ignore[attr-defined]
        assert text.startswith("<pre>") and text.endswith("</pre>")
        return html.unescape(text[len("<pre>") : -len("</pre>")])

    for a in (pc.array([1, 2]), pc.zeros((100, 100)), pc.array(1.5), pc.zeros((0, 3))):
        assert shown(a) == f"{a!r}\nshape {a.shape}"


def test_modules_print_their_parts() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    assert repr(model).splitlines()[1:3] == [
        "  (layers.0): Linear(input_dims=2, output_dims=3, bias=True)",
        "  (layers.1): ReLU()",
    ]


def help_on(thing: Any) -> str:
    return pydoc.plain(pydoc.render_doc(thing))


MODULES = [plait, plait.utils, pc, pc.random, nn, nn.init, nn.losses, optim]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_help_on_modules(module: types.ModuleType) -> None:
    text = help_on(module)
    assert module.__doc__ and module.__doc__.splitlines()[0] in text


def public(module: types.ModuleType) -> dict[str, Any]:
    things = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    return {
        name: thing
        for name, thing in things.items()
        if callable(thing) and getattr(thing, "__module__", "").startswith("plait")
    }


@pytest.mark.parametrize("module", MODULES[1:], ids=lambda m: m.__name__)
def test_everything_public_has_help(module: types.ModuleType) -> None:
    undocumented = [name for name, thing in public(module).items() if not (thing.__doc__ or "").strip()]
    assert undocumented == []


def test_help_on_functions_and_methods_shows_how_to_call_them() -> None:
    for thing, call in (
        (pc.add, "add(a: scalar | array, b: scalar | array"),
        (pc.array.sum, "sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False"),
        (pc.random.normal, "normal(shape: Sequence[int] = "),
        (pc.grad, "grad(fun: "),
        (nn.Linear, "Linear(input_dims: 'int', output_dims: 'int', bias: 'bool' = True)"),
        (optim.Adam, "learning_rate"),
    ):
        assert call in help_on(thing), help_on(thing)
    assert all(getattr(pc.array, name).__doc__ for name in dir(pc.array) if not name.startswith("_"))


def completions(start: str, names: dict[str, Any]) -> list[str]:
    completer = rlcompleter.Completer(names)
    found = []
    while (word := completer.complete(start, len(found))) is not None:
        found.append(word)
    return found


def test_completion() -> None:
    names = {"pc": pc, "nn": nn, "optim": optim, "a": pc.ones(3), "model": nn.Linear(2, 3)}
    assert "pc.arange(" in completions("pc.ar", names)
    assert "nn.Linear(" in completions("nn.Li", names)
    assert completions("optim.AdamW", names) == ["optim.AdamW("]
    assert {"a.reshape(", "a.real"} <= set(completions("a.re", names))
    assert {"a.T", "a.shape", "a.dtype"} <= set(completions("a.", names))  # though a vector has no a.mT
    assert {"model.parameters()", "model.update(", "model.training"} <= set(completions("model.", names))


def test_inspection_passes_over_what_an_array_does_not_have() -> None:
    vector, matrix = pc.ones(3), pc.ones((2, 3))
    assert not hasattr(vector, "mT") and hasattr(matrix, "mT")
    with pytest.raises(ValueError, match="at least two axes") as raised:
        vector.mT  # noqa: B018
    assert isinstance(raised.value, AttributeError) and isinstance(raised.value, pc.ShapeError)
    members = dict(inspect.getmembers(vector))
    assert "T" in members and "mT" not in members
    assert inspect.isclass(pc.array) and inspect.ismodule(pc.random)


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'arrange'"):
        pc.arrange  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'shpae'"):
        pc.ones(3).shpae  # type: ignore[attr-defined]  # noqa: B018
