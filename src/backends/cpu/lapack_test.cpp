#include "backends/cpu/lapack.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "backends/cpu/matrices.h"
#include "plait/error.h"

namespace plait::cpu {
namespace {

TensorView view_of(std::vector<int64_t> shape) {
  TensorView view;
  for (int64_t d : shape) view.shape.push_back(d);
  return view;
}

TEST(Matrices, AreTheLastTwoAxes) {
  const auto [batch, rows, columns] = matrices_of(view_of({2, 3, 4, 5}));
  EXPECT_EQ(batch, 6);
  EXPECT_EQ(rows, 4);
  EXPECT_EQ(columns, 5);
  EXPECT_EQ(matrices_of(view_of({4, 5})).batch, 1);
  EXPECT_EQ(matrices_of(view_of({0, 4, 5})).batch, 0);
}

TEST(Matrices, AreNamedByTheirPlaceInTheBatch) {
  EXPECT_EQ(index_in_batch(view_of({4, 5}), 0), "");
  EXPECT_EQ(index_in_batch(view_of({3, 4, 5}), 2), "2");
  EXPECT_EQ(index_in_batch(view_of({2, 3, 4, 5}), 4), "1, 1");
}

TEST(Matrices, TheFirstFailureIsTheOneThatIsReported) {
  for (int round = 0; round < 20; ++round) {
    int64_t at = -1;
    int what = 0;
    for_each_matrix(
        1000, 1e6, [](int64_t i) { return i % 100 == 37 ? static_cast<int>(i) : 0; },
        [&](int64_t i, int info) { at = i, what = info; });
    EXPECT_EQ(at, 37);
    EXPECT_EQ(what, 37);
  }
}

TEST(Matrices, AreTurnedOver) {
  std::vector<double> from(35 * 50), to(from.size());
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<double>(i);
  turn_over(from.data(), to.data(), 35, 50);
  for (size_t i = 0; i < 35; ++i)
    for (size_t j = 0; j < 50; ++j) ASSERT_EQ(to[j * 35 + i], from[i * 50 + j]);
}

TEST(Matrices, ThatAreNotFiniteAreSeen) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<std::complex<float>> x(9, {1, -std::numeric_limits<float>::max()});
  EXPECT_TRUE(all_finite(x.data(), 9));
  for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    x[8] = {1, bad};
    EXPECT_FALSE(all_finite(x.data(), 9));
    EXPECT_TRUE(all_finite(x.data(), 8));
  }
}

TEST(Matrices, BeyondWhatLapackCountsAreRefused) {
  EXPECT_EQ(lapack_int("qr", 7), 7);
  EXPECT_THROW(lapack_int("qr", int64_t{1} << 31), ShapeError);
}

TEST(Lapack, LetsInSoManyCallersAtOnce) {
  std::atomic<int> inside{0}, most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 200; ++i)
    threads.emplace_back([&] {
      const lapack::Caller caller;
      const int now = ++inside;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      --inside;
    });
  for (std::thread& t : threads) t.join();
  EXPECT_LE(most, 64);
  EXPECT_GT(most, 1);
}

TEST(Lapack, IsThereOrSaysWhatToDo) {
  try {
    const lapack::Functions<double>& f = lapack::functions<double>();
    std::vector<double> a{4, 2, 2, 5};
    const int n = 2;
    int info = -1;
    f.potrf("U", &n, a.data(), &n, &info, 1);
    EXPECT_EQ(info, 0);
    EXPECT_EQ(a[0], 2);
  } catch (const DeviceError& error) {  // a build without
    EXPECT_NE(error.info().hint.find("PLAIT_LAPACK"), std::string::npos);
  }
}

}  // namespace
}  // namespace plait::cpu
