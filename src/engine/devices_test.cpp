// Two memories: what moves between them, when, and in which order. The devices are simulated (backends/simulated), with
// queues that run behind the caller's back; tests/python/test_transfers.py also asks a real GPU.
#include "engine/devices.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>
#include <vector>

#include "graph/node.h"
#include "memory/ledger.h"
#include "plait/array.h"
#include "plait/error.h"
#include "plait/ops.h"
#include "plait/stream.h"

namespace plait {
namespace {

const bool simulated = [] {
  ::setenv("PLAIT_SIMULATE_WITHOUT", "sort", 1);
  return ::setenv("PLAIT_SIMULATE_GPU", "2", 1) == 0;
}();

constexpr Device kGpu{DeviceType::gpu, 0};
constexpr Device kOtherGpu{DeviceType::gpu, 1};
constexpr Device kCpuDevice{};

struct On : StreamScope {
  explicit On(Device device) : StreamScope(default_stream(device)) {}
};

Array numbers(int64_t n, float first = 0) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<float>(i);
  return Array::from<float>(values, Shape{n});
}
std::vector<float> floats(const Array& a) { return a.to_vector<float>(); }

class Devices : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(simulated);
    ledger::clear();
  }
  static ledger::Totals in() { return direction(kHost, 0); }
  static ledger::Totals out() { return direction(0, kHost); }
  static ledger::Totals direction(int from, int to) {
    const auto all = ledger::totals_by_direction();
    const auto found = all.find({from, to});
    return found == all.end() ? ledger::Totals{} : found->second;
  }
};

TEST_F(Devices, AreCounted) {
  EXPECT_EQ(device_count(DeviceType::gpu), 2);
  EXPECT_TRUE(is_available(kGpu));
  EXPECT_FALSE(is_available({DeviceType::gpu, 2}));
  EXPECT_THROW((void)default_stream({DeviceType::gpu, 2}), DeviceError);
  EXPECT_EQ(default_stream(kGpu).device, kGpu);
  EXPECT_EQ(default_stream(kGpu), default_stream(kGpu));
  EXPECT_NE(default_stream(kGpu), default_stream(kOtherGpu));
  EXPECT_THROW(set_default_stream({1u << 30, kGpu}), DeviceError);
  EXPECT_THROW(StreamScope({1u << 30, {}}), DeviceError);
  EXPECT_THROW(synchronize({default_stream(kGpu).index, kOtherGpu}), DeviceError) << "a stream of another device";
}

TEST_F(Devices, AnOperandCrossesOnceAndAResultOnce) {
  const Array x = numbers(1000);
  const On gpu(kGpu);
  Array sum = x * 0.0;
  for (int i = 0; i < 10; ++i) {
    sum = sum + x * static_cast<double>(i);
    sum.eval();
  }
  EXPECT_EQ(in().transfers, 1);
  EXPECT_EQ(in().bytes, 4000);
  EXPECT_EQ(out().transfers, 0);
  const auto got = floats(sum);
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], 45.0f * static_cast<float>(i));
  EXPECT_EQ(floats(sum), got);
  EXPECT_EQ(out().transfers, 1);
  EXPECT_EQ(out().bytes, 4000);
}

TEST_F(Devices, AProgramOnBothGivesWhatOneGives) {
  const Array x = numbers(60, 1), w = reshape(numbers(60, -7), {6, 10});
  const auto program = [&](Device first, Device second) {
    Array h, y;
    {
      const On place(first);
      h = matmul(w, reshape(x, {10, 6}));
      h = softmax(transpose(h) * 0.01, {-1});
    }
    {
      const On place(second);
      y = concatenate({h, h * 2.0}, 1);
      const std::vector<int32_t> rows = {1, 0, 3};
      y = sum(take(y, Array::from<int32_t>(rows, Shape{3}), 0), {1}) + max(h);
    }
    return floats(y + h.dim(0).value());
  };
  const auto want = program(kCpuDevice, kCpuDevice);
  EXPECT_EQ(program(kGpu, kGpu), want);
  EXPECT_EQ(program(kCpuDevice, kGpu), want);
  EXPECT_EQ(program(kGpu, kCpuDevice), want);
  EXPECT_EQ(program(kGpu, kOtherGpu), want);
}

TEST_F(Devices, ViewsOfWhatLiesOnADeviceStayThere) {
  const On gpu(kGpu);
  const Array x = reshape(numbers(24) + 1.0, {4, 6});
  const Array flat = reshape(transpose(x), {24});  // strides cannot say it: copied there
  eval(std::vector{x, flat});
  EXPECT_EQ(out().transfers, 0);
  std::vector<float> want;
  for (int c = 0; c < 6; ++c)
    for (int r = 0; r < 4; ++r) want.push_back(static_cast<float>(r * 6 + c + 1));
  EXPECT_EQ(floats(flat), want);
  EXPECT_EQ(out().transfers, 1);
}

TEST_F(Devices, MemoryIsTakenOverInPlace) {
  auto& devices = *engine::device_backend();
  const On gpu(kGpu);
  Array x = numbers(1 << 16) + 1.0;
  x.eval();
  devices.reset_peak(0);
  const int64_t held = devices.stats(0).active;
  for (int i = 0; i < 5; ++i) {
    x = x * 2.0;
    x.eval();
  }
  EXPECT_EQ(devices.stats(0).peak, 0) << "no allocation";
  EXPECT_EQ(devices.stats(0).active, held);
  EXPECT_EQ(floats(x)[1], 64.0f);
}

TEST_F(Devices, AWriteThroughAViewIsSeenOnTheDevice) {
  const Array x = numbers(8);
  const On gpu(kGpu);
  EXPECT_EQ(floats(x + 1.0)[0], 1.0f);
  const Storage& storage = evaluated_storage(x);
  ASSERT_TRUE(storage.buffer->add_view());
  auto* data = reinterpret_cast<float*>(storage.data());
  data[0] = 41;
  EXPECT_EQ(floats(x + 1.0)[0], 42.0f);
  data[0] = 6;
  EXPECT_EQ(floats(x + 1.0)[0], 7.0f);
  data[0] = 8;
  storage.buffer->remove_view();
  EXPECT_EQ(floats(x + 1.0)[0], 9.0f);
  const int64_t before = in().transfers;
  EXPECT_EQ(floats(x + 2.0)[0], 10.0f);
  EXPECT_EQ(in().transfers, before);
}

TEST_F(Devices, StreamsOfOneDeviceWaitForOneAnother) {
  const Stream a = new_stream(kGpu), b = new_stream(kGpu);
  const Array x = numbers(5000);
  Array y = x;
  for (int i = 0; i < 20; ++i) {
    {
      const StreamScope scope(a);
      y = sin(y) + 1.0;
    }
    const StreamScope scope(b);
    y = y * 0.5;
    if (i % 3 == 0) y.eval();
  }
  Array want = x;
  for (int i = 0; i < 20; ++i) want = (sin(want) + 1.0) * 0.5;
  EXPECT_EQ(floats(y), floats(want));
  EXPECT_EQ(direction(0, 0).transfers, 0);
}

TEST_F(Devices, TheGuardForbidsTransfersAndLosesNothing) {
  const Array x = numbers(10);
  const On gpu(kGpu);
  const auto before = ledger::set_guard(ledger::Guard::error);
  const Array y = x + 1.0;
  EXPECT_THROW(y.eval(), DeviceError);
  ledger::set_guard(ledger::Guard::allow);
  y.eval();
  ledger::set_guard(ledger::Guard::error);
  EXPECT_THROW((void)floats(y), DeviceError);
  const Array z = y * 2.0;
  z.eval();
  ledger::set_guard(before);
  EXPECT_EQ(floats(z)[9], 20.0f);
}

TEST_F(Devices, WhatHasNoKernelRunsOnTheCpu) {
  const Array x = numbers(10, -5);
  const On gpu(kGpu);
  const auto before = engine::set_fallback(engine::Fallback::silent);
  const Array sorted = sort(-(x * 1.0));
  EXPECT_EQ(floats(sorted)[0], -4.0f);
  EXPECT_EQ(out().bytes, 40);
  EXPECT_EQ(floats(sorted + 1.0)[0], -3.0f);
  engine::set_fallback(engine::Fallback::error);
  EXPECT_THROW(sort(x + 3.0).eval(), DeviceError);
  engine::set_fallback(before);
}

TEST_F(Devices, MemoryThatRunsOutIsAnError) {
  auto& devices = *engine::device_backend();
  const On gpu(kGpu);
  const Array x = numbers(1 << 16) + 1.0;
  x.eval();
  devices.set_limit(0, devices.stats(0).active + (1 << 16));
  const Array y = x * 2.0;
  const Array kept = x;
  EXPECT_THROW(y.eval(), OutOfMemory);
  devices.set_limit(0, 0);
  EXPECT_EQ(floats(y)[1], 4.0f);
  EXPECT_EQ(floats(kept)[1], 2.0f);
}

TEST_F(Devices, ThreadsShareWhatLiesThere) {
  const Array x = numbers(3000);
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> got(4);
  for (size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const StreamScope scope(t % 2 ? new_stream(kGpu) : default_stream(kOtherGpu));
      for (int i = 0; i < 20; ++i) got[t] = floats(x * 2.0 + static_cast<double>(i));
    });
  for (auto& thread : threads) thread.join();
  const auto want = floats(x * 2.0 + 19.0);
  for (const auto& g : got) EXPECT_EQ(g, want);
  EXPECT_LE(in().transfers, 1);
}

TEST_F(Devices, AResultOfBeforeIsReadWhileMoreIsUnderWay) {
  const On gpu(kGpu);
  Array x = numbers(100) + 1.0;
  async_eval(std::vector{x});
  for (int i = 0; i < 50; ++i) {
    const Array next = x + 1.0;
    async_eval(std::vector{next});
    ASSERT_EQ(floats(x)[0], static_cast<float>(i + 1));
    x = next;
  }
  EXPECT_EQ(floats(x)[0], 51.0f);  // leaves nothing behind that plans while another test counts
}

}  // namespace
}  // namespace plait
