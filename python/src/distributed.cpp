// plait.core.distributed.
#include "plait/distributed.h"

#include <optional>
#include <string>

#include "bind.h"
#include "convert.h"

namespace plait::python {
namespace {

using distributed::Group;
using OptionalGroup = std::optional<Group>;

Group given(const OptionalGroup& group) { return group ? *group : distributed::init(); }

void collective(nb::module_& m, const char* name, Array (*function)(const Array&, const Group&),
                const std::string& doc) {
  m.def(
      name,
      [function](Operand x, const OptionalGroup& group, StreamArg stream) {
        const StreamGuard on(stream);
        return function(to_array(x), given(group));
      },
      nb::arg("x"), nb::kw_only(), nb::arg("group").none() = nb::none(), nb::arg("stream").none() = nb::none(),
      nb::sig(("def " + std::string(name) +
               "(x: scalar | array, *, group: Group | None = None, stream: StreamOrDevice = None) -> array")
                  .c_str()),
      (doc +
       "\n\ngroup: None for that of init().\n\nErrors: TypeError for what is no array or number; RuntimeError as init().")
          .c_str());
}

}  // namespace

void bind_distributed(nb::module_& core) {
  nb::module_ m = submodule(core, "core.distributed");
  nb::class_<Group>(m, "Group", "Processes that take part in a collective, each of which must call it. From init().")
      .def("rank", &Group::rank, nb::sig("def rank(self) -> int"), "This process's number within the group, from 0.")
      .def("size", &Group::size, nb::sig("def size(self) -> int"), "Number of processes.")
      .def(
          "split", &Group::split, nb::arg("color"), nb::arg("key") = -1,
          nb::sig("def split(self, color: int, key: int = -1) -> Group"),
          "The processes that give the same color, ordered by key.\n\nErrors: RuntimeError, as a group of one process cannot be split.");
  m.def(
      "is_available", [](const std::string& backend) { return distributed::is_available(backend); },
      nb::arg("backend") = "any", nb::sig("def is_available(backend: str = 'any') -> bool"),
      "Whether processes can be connected. False: this version connects none.\n\nErrors: TypeError for what is no text.");
  m.def(
      "init",
      [](bool strict, const std::string& backend, nb::object all_gather_factory) {
        if (!all_gather_factory.is_none()) check_callable("distributed.init", all_gather_factory);
        return distributed::init(strict, backend);
      },
      nb::arg("strict") = false, nb::arg("backend") = "any", nb::kw_only(),
      nb::arg("all_gather_factory").none() = nb::none(),
      nb::sig("def init(strict: bool = False, backend: str = 'any', *, all_gather_factory: Callable[[int, int], "
              "Callable[[bytes, int], bytes]] | None = None) -> Group"),
      "The group of all processes: of this one, as this version connects none.\n\n"
      "backend: 'any', 'mpi', 'nccl', 'ring' or 'jaccl'. all_gather_factory: how a backend would exchange addresses; not used.\n\n"
      "Errors: ValueError for another backend; RuntimeError with strict, or where a launcher's variables (OMPI_COMM_WORLD_SIZE, "
      "PMI_SIZE, MLX_WORLD_SIZE, MLX_HOSTFILE) say that this is one of several processes.");
  collective(m, "all_sum", distributed::all_sum, "The sum of what all processes give; with one of them, x.");
  collective(m, "all_max", distributed::all_max, "The maximum of what all processes give; with one of them, x.");
  collective(m, "all_min", distributed::all_min, "The minimum of what all processes give; with one of them, x.");
  collective(m, "all_gather", distributed::all_gather,
             "What all processes give, concatenated along the first axis; with one of them, x.");
  collective(m, "sum_scatter", distributed::sum_scatter,
             "This rank's part of the sum, cut along the first axis; with one process, x.");
  const char* const nobody = "\n\nErrors: ValueError, as a group of one process has no other rank.";
  m.def(
      "send",
      [](Operand x, int dst, const OptionalGroup& group, StreamArg stream) {
        const StreamGuard on(stream);
        return distributed::send(to_array(x), dst, given(group));
      },
      nb::arg("x"), nb::arg("dst"), nb::kw_only(), nb::arg("group").none() = nb::none(),
      nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def send(x: scalar | array, dst: int, *, group: Group | None = None, stream: StreamOrDevice = None) -> array"),
      (std::string("x, which goes to rank dst when the result is evaluated.") + nobody).c_str());
  m.def(
      "recv",
      [](const Shape& shape, DType dtype, int src, const OptionalGroup& group, StreamArg stream) {
        const StreamGuard on(stream);
        return distributed::recv(shape, dtype, src, given(group));
      },
      nb::arg("shape"), nb::arg("dtype"), nb::arg("src"), nb::kw_only(), nb::arg("group").none() = nb::none(),
      nb::arg("stream").none() = nb::none(),
      nb::sig("def recv(shape: Sequence[int], dtype: Dtype, src: int, *, group: Group | None = None, stream: "
              "StreamOrDevice = None) -> array"),
      (std::string("The array that rank src sends.") + nobody).c_str());
  m.def(
      "recv_like",
      [](Operand x, int src, const OptionalGroup& group, StreamArg stream) {
        const StreamGuard on(stream);
        return distributed::recv_like(to_array(x), src, given(group));
      },
      nb::arg("x"), nb::arg("src"), nb::kw_only(), nb::arg("group").none() = nb::none(),
      nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def recv_like(x: scalar | array, src: int, *, group: Group | None = None, stream: StreamOrDevice = None) -> array"),
      (std::string("The array that rank src sends, of x's shape and dtype.") + nobody).c_str());
}

}  // namespace plait::python
