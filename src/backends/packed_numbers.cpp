#include "backends/packed_numbers.h"

#include "backends/strided.h"

namespace plait::packed {

Format format_of(const AttrsView& attrs) {
  const auto mode = attrs.get<std::string>("mode");
  const Codes codes = mode == "affine"  ? Codes::affine
                      : mode == "mxfp4" ? Codes::mxfp4
                      : mode == "mxfp8" ? Codes::mxfp8
                                        : Codes::nvfp4;
  return {codes, static_cast<int>(attrs.get<int64_t>("bits")), attrs.get<int64_t>("group_size")};
}

Rows::Rows(std::span<const TensorView> parts) {
  const auto& shape = parts[0].shape;
  shape_.assign(shape.begin(), shape.end() - 1);
  for (const int64_t extent : shape_) count_ *= extent;
  for (const TensorView& part : parts) {
    const int64_t last = part.shape.back(), bytes = size_of(part.dtype);
    Part to{static_cast<const char*>(part.data), {}};
    SmallVector<int64_t, 6> strides = part.strides;
    if (strides.back() != 1 && last > 1 && part.count() > 0) {
      strides.back() = 1;
      for (size_t i = strides.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * part.shape[i + 1];
      copies_.emplace_back(static_cast<size_t>(part.count() * bytes));
      copy_strided(copies_.back().data(), strides, part.data, part.strides, part.shape, static_cast<int>(bytes));
      to.data = copies_.back().data();
    }
    for (size_t i = 0; i + 1 < strides.size(); ++i) to.strides.push_back(strides[i] * bytes);
    parts_.push_back(std::move(to));
  }
}

Rows::Row Rows::row(int64_t i) const {
  int64_t at[3] = {};
  for (size_t axis = shape_.size(); axis-- > 0;) {
    const int64_t k = i % shape_[axis];
    i /= shape_[axis];
    for (size_t p = 0; p < parts_.size(); ++p) at[p] += k * parts_[p].strides[axis];
  }
  return {reinterpret_cast<const uint32_t*>(parts_[0].data + at[0]), parts_[1].data + at[1],
          parts_.size() > 2 ? parts_[2].data + at[2] : nullptr};
}

}  // namespace plait::packed
