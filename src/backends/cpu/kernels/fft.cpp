#include "backends/cpu/fft.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "backends/cpu/scratch.h"
#include "backends/kernel.h"
#include "backends/strided.h"
#include "base/parallel.h"

namespace plait {
namespace {

using cpu::Fft;
using cpu::FftLines;
using cpu::Scratch;

/// The lines along an axis: those of the innermost of the other axes are done together, the rest counted. Offsets and strides
/// count elements of each array.
class Batch {
 public:
  Batch(const KernelArgs& args, int axis)
      : from_step(args.inputs[0].strides[static_cast<size_t>(axis)]),
        to_step(args.outputs[0].strides[static_cast<size_t>(axis)]) {
    const auto others = [&](const auto& all) {
      SmallVector<int64_t, 6> left;
      for (int i = 0; i < static_cast<int>(all.size()); ++i)
        if (i != axis) left.push_back(all[static_cast<size_t>(i)]);
      return left;
    };
    outer_ = joined_axes(others(args.outputs[0].strides), others(args.inputs[0].strides), others(args.inputs[0].shape));
    if (outer_.empty()) return;
    lane_ = outer_.back();
    outer_.pop_back();
    for (const CopyAxis& a : outer_) count_ *= a.extent;
  }

  const CopyAxis& lane() const { return lane_; }
  int64_t lines() const { return lane_.extent * count_; }

  /// Calls body(from, to, lines) with the offsets of the first of some lines, at most a group of `fft` at a time.
  template <class Body>
  void for_each(const Fft& fft, int64_t n, Body body) const {
    const int64_t group = fft.group(), groups = (lane_.extent + group - 1) / group, items = groups * count_;
    const auto run = [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        int64_t outer = item / groups, first = item % groups * group;
        int64_t from = first * lane_.from, to = first * lane_.to;
        for (size_t i = outer_.size(); i-- > 0; outer /= outer_[i].extent) {
          from += outer % outer_[i].extent * outer_[i].from;
          to += outer % outer_[i].extent * outer_[i].to;
        }
        body(from, to, std::min(group, lane_.extent - first));
      }
    };
    fft.spreads() ? run(0, items) : parallel_for(items, row_grain(n * group), run);
  }

  const int64_t from_step, to_step;

 private:
  CopyAxis lane_{0, 1, 1};
  SmallVector<CopyAxis, 6> outer_;
  int64_t count_ = 1;
};

struct Call {
  int axis;
  int64_t n;
  float scale;
};
Call call_of(const KernelArgs& args, const TensorView& of_length) {
  const int axis = static_cast<int>(args.attrs.get<int64_t>("axis"));
  const int64_t n = of_length.shape[static_cast<size_t>(axis)], power = args.attrs.get<int64_t>("divide");
  return {axis, n, static_cast<float>(std::pow(static_cast<double>(n), -0.5 * static_cast<double>(power)))};
}

void run_complex(const KernelArgs& args) {
  const auto [axis, n, scale] = call_of(args, args.outputs[0]);
  const Batch batch(args, axis);
  if (batch.lines() == 0) return;
  const CopyAxis& lane = batch.lane();
  const Fft fft(n, args.attrs.get<bool>("inverse"), scale, {lane.extent, lane.from == 1 && lane.to == 1});
  batch.for_each(fft, n, [&](int64_t from, int64_t to, int64_t lines) {
    fft.run({args.inputs[0].as<float>() + 2 * from, batch.from_step, lane.from},
            {args.outputs[0].as<float>() + 2 * to, batch.to_step, lane.to}, lines);
  });
}

/// Calls body(begin, end) for parts of a line, on several threads where the line is worth it.
template <class Body>
void along(const Fft& fft, int64_t n, Body body) {
  fft.spreads() ? parallel_for(n, kElementGrain, body) : body(0, n);
}

/// Real numbers of even length as half as many pairs: where they lie, or copied.
FftLines pairs_of(Scratch& scratch, const Fft& fft, float* from, int64_t step, int64_t next, int64_t n, int64_t lines) {
  if (step == 1 && (lines == 1 || next % 2 == 0)) return {from, 1, next / 2};
  float* copy = scratch.take<float>(n * lines);
  for (int64_t l = 0; l < lines; ++l)
    along(fft, n, [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) copy[l * n + j] = from[l * next + j * step];
    });
  return {copy, 1, n / 2};
}

void real_even(const KernelArgs& args, const Call& call, const Batch& batch) {
  const int64_t h = call.n / 2;
  const CopyAxis& lane = batch.lane();
  const Fft fft(h, false, call.scale, {lane.extent, false});
  const auto half = cpu::fft_plan<cpu::FftHalf>(call.n);
  batch.for_each(fft, call.n, [&](int64_t from, int64_t to, int64_t lines) {
    Scratch scratch;
    float* z = scratch.take<float>(2 * h * lines);
    fft.run(pairs_of(scratch, fft, args.inputs[0].as<float>() + from, batch.from_step, lane.from, call.n, lines),
            {z, 1, h}, lines);
    for (int64_t l = 0; l < lines; ++l)
      along(fft, h + 1, [&](int64_t begin, int64_t end) {
        cpu::fft_kernels().unfold(z + 2 * l * h, half->roots.data(), h, begin, end,
                                  args.outputs[0].as<float>() + 2 * (to + l * lane.to), batch.to_step);
      });
  });
}

/// Odd lengths have no half: transforms whole lines of complex numbers. fill(line, at) makes one of what stands at an offset of
/// the input, take(line, at) writes what is wanted of a result.
template <class Fill, class Take>
void whole_lines(const Call& call, const Batch& batch, bool inverse, Fill fill, Take take) {
  const int64_t n = call.n;
  const CopyAxis& lane = batch.lane();
  const Fft fft(n, inverse, call.scale, {lane.extent, false});
  batch.for_each(fft, n, [&](int64_t from, int64_t to, int64_t lines) {
    Scratch scratch;
    float* x = scratch.take<float>(2 * n * lines);
    float* y = scratch.take<float>(2 * n * lines);
    for (int64_t l = 0; l < lines; ++l) fill(x + 2 * l * n, from + l * lane.from);
    fft.run({x, 1, n}, {y, 1, n}, lines);
    for (int64_t l = 0; l < lines; ++l) take(y + 2 * l * n, to + l * lane.to);
  });
}

void real_odd(const KernelArgs& args, const Call& call, const Batch& batch) {
  const auto fill = [&](float* line, int64_t at) {
    const float* in = args.inputs[0].as<float>() + at;
    for (int64_t j = 0; j < call.n; ++j) {
      line[2 * j] = in[j * batch.from_step];
      line[2 * j + 1] = 0;
    }
  };
  const auto take = [&](const float* line, int64_t at) {
    float* out = args.outputs[0].as<float>() + 2 * at;
    for (int64_t k = 0; k <= call.n / 2; ++k)
      for (int part = 0; part < 2; ++part) out[2 * k * batch.to_step + part] = line[2 * k + part];
  };
  whole_lines(call, batch, false, fill, take);
}

void run_real(const KernelArgs& args) {
  const Call call = call_of(args, args.inputs[0]);
  const Batch batch(args, call.axis);
  if (batch.lines() == 0) return;
  call.n % 2 == 0 ? real_even(args, call, batch) : real_odd(args, call, batch);
}

void to_real_even(const KernelArgs& args, const Call& call, const Batch& batch) {
  const int64_t n = call.n, h = n / 2;
  const CopyAxis& lane = batch.lane();
  const Fft fft(h, true, call.scale, {lane.extent, false});
  const auto half = cpu::fft_plan<cpu::FftHalf>(n);
  batch.for_each(fft, n, [&](int64_t from, int64_t to, int64_t lines) {
    Scratch scratch;
    float* z = scratch.take<float>(n * lines);
    for (int64_t l = 0; l < lines; ++l)
      along(fft, h, [&](int64_t begin, int64_t end) {
        cpu::fft_kernels().fold(args.inputs[0].as<float>() + 2 * (from + l * lane.from), batch.from_step,
                                half->roots.data(), h, begin, end, z + l * n);
      });
    float* out = args.outputs[0].as<float>() + to;
    if (batch.to_step == 1 && (lines == 1 || lane.to % 2 == 0)) return fft.run({z, 1, h}, {out, 1, lane.to / 2}, lines);
    float* y = scratch.take<float>(n * lines);
    fft.run({z, 1, h}, {y, 1, h}, lines);
    for (int64_t l = 0; l < lines; ++l)
      along(fft, n, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; ++j) out[l * lane.to + j * batch.to_step] = y[l * n + j];
      });
  });
}

// The other half of the spectrum is the conjugate of what is given.
void to_real_odd(const KernelArgs& args, const Call& call, const Batch& batch) {
  const int64_t n = call.n;
  const auto fill = [&](float* line, int64_t at) {
    const float* in = args.inputs[0].as<float>() + 2 * at;
    line[0] = in[0], line[1] = 0;
    for (int64_t k = 1; k <= n / 2; ++k) {
      const float* a = in + 2 * k * batch.from_step;
      line[2 * k] = line[2 * (n - k)] = a[0];
      line[2 * k + 1] = a[1], line[2 * (n - k) + 1] = -a[1];
    }
  };
  const auto take = [&](const float* line, int64_t at) {
    float* out = args.outputs[0].as<float>() + at;
    for (int64_t j = 0; j < n; ++j) out[j * batch.to_step] = line[2 * j];
  };
  whole_lines(call, batch, true, fill, take);
}

void run_to_real(const KernelArgs& args) {
  const Call call = call_of(args, args.outputs[0]);
  const Batch batch(args, call.axis);
  if (batch.lines() == 0) return;
  call.n % 2 == 0 ? to_real_even(args, call, batch) : to_real_odd(args, call, batch);
}

}  // namespace

void register_cpu_kernels_fft(KernelTable& table) {
  table.add("fft_complex", Backend::cpu, {.run = run_complex, .contiguous_inputs = false});
  table.add("fft_real", Backend::cpu, {.run = run_real, .contiguous_inputs = false});
  table.add("fft_to_real", Backend::cpu, {.run = run_to_real, .contiguous_inputs = false});
}

}  // namespace plait
