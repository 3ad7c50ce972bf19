"""Every public name of plait.core is in the C++ headers, under the same name: the compiler finds each."""

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

import plait.core as pc
from native_library import include_flags, link_flags

# What C++ has under another name, which is looked for instead.
ELSEWHERE = {
    "explain_arrays": "debug::explain",
    "fail_allocation": "debug::fail_allocation",
    "set_eager": "debug::set_eager",
    "set_nan_check": "debug::set_nan_check",
    "set_position_check": "debug::set_position_check",
}
# What only Python has, and why.
RESULT = "C++ functions return Arrays, in the order of the fields"
CALLABLE = "the class of what a Python function becomes; C++ has Function"
PYTHON_ONLY = {
    "ArrayAt": "a.at[...]: C++ calls slice_update, put_along_axis and the like",
    "ArrayIterator": "for x in a",
    "ArrayLike": "an object with __plait_array__",
    "CheckpointedFunction": CALLABLE,
    "DerivedFunction": CALLABLE,
    "NoSuchProperty": "an AttributeError",
    "UniqueAllResult": RESULT,
    "UniqueCountsResult": RESULT,
    "UniqueInverseResult": RESULT,
    "bool": "a keyword of C++; bool_ is there",
    "explain_call": "the plan of a Python call, for plait.debug",
    "fast.metal_kernel": "there is no Metal on Linux: what Python makes of one says so when it is called",
    "from_dlpack": "reads objects of Python; C++ has Array::from and from_bytes",
    "linalg.EighResult": RESULT,
    "linalg.QRResult": RESULT,
    "linalg.SVDResult": RESULT,
    "linalg.SlogdetResult": RESULT,
    "newaxis": "None in an index; C++ has expand_dims",
}


def public_names(module: ModuleType, prefix: str = "") -> set[str]:
    found = set()
    for name in dir(module):
        if name.startswith("_"):
            continue
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            found |= public_names(value, f"{name}.")
        else:
            found.add(prefix + name)
    return found


def keyword_safe(name: str) -> str:
    """As tools/gen names what is a keyword of C++."""
    return re.sub(r"\b(and|not|or|xor|export)$", r"\1_", name)


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("g++") or shutil.which("c++")
    if not found:
        pytest.skip("no C++ compiler is installed")
    return found


def test_each_name_is_there(compiler: str, tmp_path: Path) -> None:
    names = public_names(pc) - PYTHON_ONLY.keys()
    program = ['#include "plait/core.h"', "namespace each {"]
    for at, name in enumerate(sorted(names)):
        there = ELSEWHERE.get(name, keyword_safe(name.replace(".", "::")))
        program.append(f"namespace n{at} {{ using plait::{there}; }}  // {name}")
    source = tmp_path / "names.cpp"
    source.write_text("\n".join([*program, "}", ""]))
    done = subprocess.run(
        [compiler, "-std=c++20", "-fsyntax-only", *include_flags(), str(source)], capture_output=True, text=True
    )
    missing = sorted(set(re.findall(r"names\.cpp:(\d+):.*error:", done.stderr)))
    lines = source.read_text().splitlines()
    assert done.returncode == 0, "not in C++: " + ", ".join(lines[int(n) - 1].rpartition("// ")[2] for n in missing)


def test_the_reasons_are_needed() -> None:
    names = public_names(pc)
    assert PYTHON_ONLY.keys() <= names and ELSEWHERE.keys() <= names
    assert len(PYTHON_ONLY) <= 20


def test_names_do_what_python_does(compiler: str, tmp_path: Path) -> None:
    """What core.h defines itself, and the headers it brings that have no other test in C++."""
    source = tmp_path / "names.cpp"
    source.write_text(PROGRAM)
    program = tmp_path / "names"
    subprocess.run(
        [compiler, "-std=c++20", "-Wall", *include_flags(), str(source), "-o", str(program), *link_flags()], check=True
    )
    done = subprocess.run([program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr


PROGRAM = r"""
#include <cstdio>
#include <thread>
#include "plait/core.h"

namespace pc = plait;
int failures = 0;
#define CHECK(c) if (!(c)) { ++failures; std::printf("%d: %s\n", __LINE__, #c); }
template <class F> bool raises(F f) {
  try { f(); } catch (const pc::UserError&) { return true; }
  return false;
}

int main() {
  const pc::array a = pc::asarray(pc::arange(6.0), pc::float16);
  CHECK(a.dtype() == pc::float16 && pc::issubdtype(pc::float16, pc::floating));
  CHECK(pc::issubdtype(pc::integer, pc::number) && !pc::issubdtype(pc::inexact, pc::integer));
  CHECK(pc::isdtype(pc::uint8, "integral") && raises([] { pc::isdtype(pc::uint8, "numbers"); }));
  CHECK(pc::can_cast(pc::int8, pc::int16) && !pc::can_cast(pc::float32, pc::float16));
  const pc::Dtype both[] = {pc::uint8, pc::int8};
  const pc::Scalar half[] = {0.5};
  CHECK(pc::result_type(both) == pc::int16 && pc::result_type(both, half) == pc::float32);
  CHECK(raises([] { pc::result_type({}); }));
  CHECK(pc::finfo(pc::float32).bits == 32 && pc::finfo(pc::complex64).dtype == pc::float32);
  CHECK(pc::iinfo(pc::int64).min == INT64_MIN && pc::iinfo(pc::uint64).max == UINT64_MAX);
  CHECK(pc::iinfo(pc::int8).max == 127);
  CHECK(raises([] { pc::finfo{pc::int8}; }) && raises([] { pc::iinfo{pc::float32}; }));

  a.eval();
  CHECK(pc::get_array_buffer_size(pc::Arrays{a}) == 12);
  CHECK(raises([&] { pc::get_array_buffer_size(pc::Arrays{a + 1}); }));
  CHECK(pc::get_active_memory() > 0 && pc::get_memory_limit() > 0 && pc::set_wired_limit(5) == 0);
  CHECK(!pc::device_info({}).name.empty() && raises([] { pc::device_info({pc::cpu, 7}); }));

  const pc::ThreadLocalStream local = pc::new_thread_local_stream({});
  pc::Stream here = local.here(), there;
  std::thread([&] { there = local.here(); }).join();
  CHECK(here == local.here() && here != there && here != pc::default_stream({}));
  {
    const auto on = pc::stream(local);
    CHECK(pc::default_stream({}) == here);
  }
  CHECK(pc::default_stream({}) != here);

  const auto policy = pc::set_transfer_guard(pc::Policy::error);
  CHECK(policy == pc::Policy::allow && pc::set_transfer_guard(policy) == pc::Policy::error);
  CHECK(pc::set_fallback(pc::set_fallback(pc::Policy::error)) == pc::Policy::error);
  pc::clear_transfers();
  CHECK(pc::transfer_totals().empty());

  int runs = 0;
  const auto f = pc::compile([&](const pc::Arrays& in) { ++runs; return pc::Arrays{in[0] * 2.0}; });
  f({a}), f({a});
  CHECK(runs == 1);
  pc::disable_compile();
  f({a}), f({a});
  pc::enable_compile();
  CHECK(runs == 3);

  {
    const pc::printoptions digits({2});
    CHECK(pc::to_string(pc::array(pc::pi)) == "array(3.14, dtype=float32)");
  }
  const auto counts = pc::unique_counts(pc::asarray(pc::array::from<int32_t>(std::vector<int32_t>{3, 1, 3}, {3})));
  CHECK(counts[0].to_vector<int32_t>() == (std::vector<int32_t>{1, 3}));
  CHECK(pc::acos(pc::array(1.0)).item<float>() == 0 && pc::linalg::vecdot(a, a).item<pc::float16_t>().bits != 0);
  pc::export_to_dot("graph.dot", {a + 1});
  CHECK(!pc::cuda::is_available() || pc::device_count(pc::gpu) > 0);
  if (!failures) std::puts("ok");
  return failures != 0;
}
"""
