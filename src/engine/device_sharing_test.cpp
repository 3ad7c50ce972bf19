// Memory of another library on a device. The device is simulated, so the test can look into its memory.
#include "engine/device_sharing.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include "memory/residency.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait {
namespace {

constexpr Device kGpu{DeviceType::gpu, 0};

struct Foreign {
  std::vector<float> numbers;
  std::atomic<int> freed{0};

  explicit Foreign(int64_t n) : numbers(static_cast<size_t>(n)) {
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  }
  Array adopted(const Shape& shape, Strides strides, int64_t offset = 0) {
    return engine::adopt_on_device(
        kGpu, numbers.data(), static_cast<int64_t>(numbers.size() * sizeof(float)), {shape, DType::float32},
        std::move(strides), offset, [](void* self) { ++static_cast<Foreign*>(self)->freed; }, this);
  }
};

struct DeviceSharing : ::testing::Test {
  void SetUp() override { ASSERT_TRUE(is_available(kGpu)); }  // devices_test.cpp simulates two
};

TEST_F(DeviceSharing, ForeignMemoryIsUsedWhereItIs) {
  Foreign foreign(12);
  {
    const Array a = foreign.adopted({3, 4}, {4, 1});
    const StreamScope on(default_stream(kGpu));
    EXPECT_EQ(engine::view_on_device(a, kGpu).data, foreign.numbers.data());
    EXPECT_EQ((a + 1.0).to_vector<float>()[11], 12);
    EXPECT_EQ(a.to_vector<float>()[11], 11) << "a copy on the host";
    EXPECT_EQ(engine::view_on_device(a, kGpu).data, foreign.numbers.data());
    EXPECT_EQ(foreign.freed, 0);
  }
  EXPECT_EQ(foreign.freed, 1);
  Foreign strided(12);
  EXPECT_EQ((strided.adopted({2, 3}, {-4, 1}, 4 * 5 * 1) + 0.0).to_vector<float>(),
            (std::vector<float>{5, 6, 7, 1, 2, 3}));
}

TEST_F(DeviceSharing, ItIsNeverOverwrittenAndFreedAfterItsUses) {
  for (int round = 0; round < 50; ++round) {
    Foreign foreign(4096);
    const std::vector<float> before = foreign.numbers;
    Array b;
    {
      const StreamScope on(default_stream(kGpu));
      b = foreign.adopted({4096}, {1}) * 2.0 + 1.0;
      const Array wanted[] = {b};
      async_eval(wanted);
    }
    b.eval();
    EXPECT_EQ(b.to_vector<float>()[4095], 8191);
    while (foreign.freed == 0) std::this_thread::yield();  // the thread that computed it drops it behind the result
    EXPECT_EQ(foreign.freed, 1);
    EXPECT_EQ(foreign.numbers, before);
  }
}

TEST_F(DeviceSharing, AViewKeepsItsMemory) {
  const StreamScope on(default_stream(kGpu));
  Array a = arange(0.0, 1000.0) + 1.0;
  a.eval();
  engine::DeviceView view = engine::view_on_device(a, kGpu);
  const float* const seen = static_cast<const float*>(view.data);
  view.value = Array();  // only the memory
  a = a * 2.0;  // could overwrite its operand else
  a.eval();
  synchronize(default_stream(kGpu));
  EXPECT_EQ(seen[999], 1000);
  EXPECT_EQ(a.to_vector<float>()[999], 2000);
}

TEST_F(DeviceSharing, SimulatedMemoryIsNotForOthers) { EXPECT_FALSE(engine::can_share(kGpu)); }

}  // namespace
}  // namespace plait
