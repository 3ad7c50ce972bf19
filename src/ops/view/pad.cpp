#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

enum class Mode { constant, edge, reflect, symmetric };

Mode mode_of(std::string_view name) {
  if (name == "constant") return Mode::constant;
  if (name == "edge") return Mode::edge;
  if (name == "reflect") return Mode::reflect;
  if (name == "symmetric") return Mode::symmetric;
  throw ArgumentError({.op = "pad",
                       .got = "mode '" + std::string(name) + "'",
                       .accepts = "'constant', 'edge', 'reflect', 'symmetric'",
                       .where = here()});
}

// Position in an axis of extent n that stands at each place of the padded axis.
Array sources(Mode mode, Dim n, int64_t before, Dim padded) {
  const auto number = [](Dim d) { return extent(d, DType::int32); };
  const Array at = subtract(iota(padded, DType::int32), number(before));
  const Array last = number(n - 1);
  const Array zero = number(0);
  if (mode == Mode::edge || n == 1) return minimum(maximum(at, zero), last);
  if (mode == Mode::reflect) {
    const Array inside = remainder(at, number((n - 1) * 2));
    return subtract(last, abs(subtract(inside, last)));
  }
  const Array inside = remainder(at, number(n * 2));
  return where(less_equal(inside, last), inside, subtract(number(n * 2 - 1), inside));
}

}  // namespace

Array pad(const Array& a, const std::vector<std::pair<int64_t, int64_t>>& pad_width, std::string_view mode,
          const Array& constant_values) {
  const Mode how = mode_of(mode);
  if (pad_width.size() != 1 && static_cast<int>(pad_width.size()) != a.rank())
    throw ShapeError(
        {.op = "pad",
         .got = std::to_string(pad_width.size()) + " pairs of widths for an array of shape " + to_string(a.shape()),
         .accepts = "one pair for all axes, or one per axis",
         .where = here()});
  SliceAttrs inner{{}, a.shape(), {}};
  Shape padded;
  for (int i = 0; i < a.rank(); ++i) {
    const auto& [before, after] = pad_width[pad_width.size() == 1 ? 0 : static_cast<size_t>(i)];
    if (before < 0 || after < 0)
      throw ArgumentError({.op = "pad", .got = "a negative width", .accepts = "widths of 0 and more", .where = here()});
    inner.start.push_back(before);
    inner.step.push_back(1);
    padded.push_back(a.shape()[i] + (before + after));
  }
  if (padded == a.shape()) return a;
  if (how == Mode::constant)
    return slice_update_static(broadcast_to(converted(constant_values, a.dtype()), padded), a, inner);
  Array out = a;
  for (int i = 0; i < a.rank(); ++i) {
    if (padded[i] == a.shape()[i]) continue;
    if (a.shape()[i] == 0)
      throw ShapeError({.op = "pad",
                        .got = "an axis of extent 0 in " + to_string(a.shape()),
                        .accepts = "mode 'constant' for empty axes",
                        .where = here()});
    out = take(out, sources(how, a.shape()[i], inner.start[i].value(), padded[i]), i);
  }
  return out;
}

void register_pad(OpRegistry& ops) {
  ops.function("pad")
      .signature(
          "(a: array, pad_width: int | tuple[int] | tuple[int, int] | list[tuple[int, int]], mode: Literal['constant', 'edge', 'reflect', 'symmetric'] = 'constant', constant_values: scalar | array = 0, *, stream: StreamOrDevice = None) -> array")
      .summary("The array with elements put before and behind it along each axis.")
      .details(
          "pad_width: one width, one pair (before, after), or a pair per axis. mode: constant values, the edge's value, or the array mirrored without (reflect) or with (symmetric) its edge. Errors: ValueError.")
      .oracle("np.pad(a, pad_width, mode)")
      .sample("(2, 3)", "pad_width=1")
      .sample("(2, 3)", "pad_width=[(1, 0), (0, 2)]")
      .sample("(3,)", "pad_width=(2, 1), mode='edge'")
      .sample("(3,)", "pad_width=5, mode='reflect'")
      .sample("(3,)", "pad_width=2, mode='symmetric'")
      .sample("(0,)", "pad_width=1")
      .rejects("(3,)", "pad_width=-1", "ValueError")
      .rejects("(3,)", "pad_width=1, mode='zzz'", "ValueError");
}

}  // namespace plait
