#include "backends/strided.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace plait {
namespace {

using Numbers = std::vector<int64_t>;

// Element by element, as bytes.
void copy_plainly(char* to, const Numbers& to_strides, const char* from, const Numbers& from_strides,
                  const Numbers& shape, int width) {
  int64_t count = 1;
  for (const int64_t n : shape) count *= n;
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, t = 0, f = 0;
    for (size_t axis = shape.size(); axis-- > 0;) {
      t += rest % shape[axis] * to_strides[axis];
      f += rest % shape[axis] * from_strides[axis];
      rest /= shape[axis];
    }
    for (int b = 0; b < width; ++b) to[t * width + b] = from[f * width + b];
  }
}

int64_t span(const Numbers& shape, const Numbers& strides) {
  int64_t last = 1;
  for (size_t i = 0; i < shape.size(); ++i) last += (shape[i] - 1) * strides[i];
  return last;
}

void check(const Numbers& shape, const Numbers& to_strides, const Numbers& from_strides, int width, int64_t offset) {
  std::vector<char> from(static_cast<size_t>((span(shape, from_strides) + offset) * width));
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<char>(i * 31 + i / 251);
  std::vector<char> got(static_cast<size_t>((span(shape, to_strides) + offset) * width), 'x'), want = got;
  copy_strided(got.data() + offset * width, to_strides, from.data() + offset * width, from_strides, shape, width);
  copy_plainly(want.data() + offset * width, to_strides, from.data() + offset * width, from_strides, shape, width);
  EXPECT_TRUE(got == want) << "width " << width << ", " << shape.back() << " columns";
}

TEST(CopyStrided, TransposedOfAllWidths) {
  for (const int width : {1, 2, 4, 8})
    for (const int64_t rows : {1, 3, 31, 63, 64, 65, 130, 257})
      for (const int64_t columns : {1, 2, 7, 32, 64, 67, 129})
        for (const int64_t offset : {0, 1, 5}) {
          check({rows, columns}, {columns, 1}, {1, rows}, width, offset);
          check({rows, columns}, {columns + 3, 1}, {1, rows + 2}, width, offset);  // parts of larger ones
          check({rows, columns}, {1, rows}, {columns, 1}, width, offset);
          check({2, rows, columns}, {rows * columns, columns, 1}, {rows * columns, 1, rows}, width, offset);
        }
}

TEST(CopyStrided, OtherStrides) {
  for (const int width : {1, 2, 4, 8}) {
    check({70, 40}, {40, 1}, {2, 150}, width, 0);
    check({70, 40}, {80, 2}, {1, 70}, width, 0);
    check({70, 40}, {40, 1}, {1, 0}, width, 0);
    check({3, 70, 40}, {1, 120, 3}, {2800, 1, 70}, width, 0);
  }
}

TEST(CopyStrided, PastTheCaches) {
  check({2500, 4001}, {4001, 1}, {1, 2500}, 4, 1);
  check({2500, 4001}, {4001, 1}, {1, 2500}, 8, 0);
}

}  // namespace
}  // namespace plait
