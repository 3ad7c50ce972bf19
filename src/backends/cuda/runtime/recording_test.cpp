#include "backends/cuda/runtime/recording.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/cuda_backend.h"
#include "plait/error.h"

namespace plait {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class CudaRecording : public testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    backend = CudaBackend::instance(why_not);
    if (!backend) GTEST_SKIP() << "NO DEVICE, NOT TESTED: " << why_not;
    queue = backend->open_queue(0);
    result = static_cast<char*>(backend->allocate(queue, kBytes));
    set(result, 1);
  }
  void TearDown() override {
    if (result) backend->release(queue, result);
  }

  /// Nothing is recorded while libraries are opened in the background.
  void begin() {
    for (int i = 0; !backend->begin_recording(queue); ++i) {
      if (i == 6000) throw std::runtime_error("nothing could be recorded for a minute");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  std::unique_ptr<Recording> end() {
    std::string why_not;
    auto recording = backend->end_recording(queue, why_not);
    EXPECT_EQ(!recording, !why_not.empty()) << why_not;
    return recording;
  }
  void set(void* data, int value) { check_cuda(cudaMemsetAsync(data, value, kBytes, stream_of(queue)), "memset"); }
  /// Sets memory of the recording, which it gives back at once, and copies that to `result`.
  std::unique_ptr<Recording> record(int value) {
    begin();
    void* const own = backend->allocate(queue, kBytes);
    set(own, value);
    backend->copy(queue, result, own, kBytes);
    backend->release(queue, own);
    return end();
  }
  std::vector<char> now() {
    std::vector<char> bytes(kBytes);
    backend->download(backend->mark(queue), bytes.data(), result, kBytes);
    return bytes;
  }
  bool all(char value) {
    const std::vector<char> bytes = now();
    return std::all_of(bytes.begin(), bytes.end(), [&](char b) { return b == value; });
  }

  static constexpr int64_t kBytes = 3 * kMiB;
  CudaBackend* backend = nullptr;
  memory::Queue queue = 0;
  char* result = nullptr;
};

TEST_F(CudaRecording, KeepsWhatItsWorkUses) {
  auto used = std::make_shared<const int>(1);
  const std::weak_ptr<const int> watched = used;
  begin();
  keep_while_recorded(*recorder_of(queue), std::move(used));
  set(result, 3);
  auto recording = end();
  ASSERT_TRUE(recording);
  record(4).reset();
  EXPECT_FALSE(watched.expired());
  recording->replay();
  EXPECT_TRUE(all(3));
  recording.reset();
  for (int i = 0; i < 500 && !watched.expired();
       ++i) {  // CUDA tells of the end when it likes, and the next recording lets go
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    record(5).reset();
  }
  EXPECT_TRUE(watched.expired());
}

TEST_F(CudaRecording, WorkRunsWhenItIsReplayed) {
  const auto recording = record(7);
  ASSERT_TRUE(recording);
  EXPECT_GE(recording->bytes(), kBytes);
  EXPECT_TRUE(all(1));
  for (int i = 0; i < 3; ++i) {
    recording->replay();
    EXPECT_TRUE(all(7));
    set(result, 2);
    EXPECT_TRUE(all(2));
  }
}

TEST_F(CudaRecording, ItsMemoryStaysWhereItIs) {
  const int64_t before = backend->stats(0).active;
  {
    const auto recording = record(7), other = record(8);
    ASSERT_TRUE(recording && other);
    EXPECT_GE(backend->stats(0).active, before + 2 * kBytes);
    backend->set_cache_limit(0, 0);
    backend->clear_cache(0);
    std::vector<void*> blocks;
    for (int i = 0; i < 8; ++i) {
      blocks.push_back(backend->allocate(queue, kBytes));
      set(blocks.back(), 3);
    }
    recording->replay();
    EXPECT_TRUE(all(7));
    other->replay();
    EXPECT_TRUE(all(8));
    for (void* block : blocks) backend->release(queue, block);
    backend->set_cache_limit(0, INT64_MAX);
  }
  EXPECT_EQ(backend->stats(0).active, before);
}

TEST_F(CudaRecording, WhatWaitsIsRefusedAndTheRestGoesOn) {
  begin();
  char byte = 0;
  EXPECT_THROW(backend->mark(queue), DeviceError);
  EXPECT_THROW(backend->upload(queue, result, &byte, 1), DeviceError);
  set(result, 5);
  const auto recording = end();
  ASSERT_TRUE(recording);
  EXPECT_TRUE(all(1));
  recording->replay();
  EXPECT_TRUE(all(5));
}

TEST_F(CudaRecording, WhatCannotBeCapturedGivesNone) {
  const int64_t before = backend->stats(0).active;
  begin();
  void* const own = backend->allocate(queue, kBytes);
  set(own, 9);
  EXPECT_NE(cudaStreamSynchronize(stream_of(queue)), cudaSuccess);
  cudaGetLastError();
  backend->release(queue, own);
  EXPECT_FALSE(end());
  EXPECT_EQ(backend->stats(0).active, before);
  EXPECT_TRUE(all(1));
  EXPECT_TRUE(record(7));
}

TEST_F(CudaRecording, NothingIsRecordedBesideWhatWaitsForTheDevice) {
  begin();
  EXPECT_THROW(NoCaptures(), DeviceError);
  std::atomic<bool> alone{false};
  std::thread another([&] {
    const NoCaptures none;
    alone = true;
    check_cuda(cudaDeviceSynchronize(), "the device");
    EXPECT_FALSE(backend->begin_recording(queue));
  });
  set(result, 5);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(alone);
  const auto recording = end();
  another.join();
  ASSERT_TRUE(recording);
  recording->replay();
  EXPECT_TRUE(all(5));
  EXPECT_TRUE(record(6));
}

TEST_F(CudaRecording, OtherThreadsGoOnMeanwhile) {
  backend->release(queue, backend->allocate(queue, 40 * kMiB));
  begin();
  std::thread([&] {
    set(result, 4);  // on the queue, not into the recording
    EXPECT_TRUE(all(4));
    backend->clear_cache(0);
    const memory::Queue another = backend->open_queue(0);
    void* const data = backend->allocate(another, kBytes);
    backend->release(another, data);
  }).join();
  set(result, 6);
  const auto recording = end();
  ASSERT_TRUE(recording);
  EXPECT_TRUE(all(4));
  recording->replay();
  EXPECT_TRUE(all(6));
  backend->clear_cache(0);
}

TEST_F(CudaRecording, ManyPiecesOfAllSizes) {
  std::vector<char> from(kBytes);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<char>(i * 31 + i / 251);
  char* const source = static_cast<char*>(backend->allocate(queue, kBytes));
  backend->upload(queue, source, from.data(), kBytes);
  std::vector<DeviceBackend::Piece> pieces;
  std::vector<char> want(kBytes, 1);
  int64_t at = 0, k = 0;
  for (; at + 5000 < kMiB; at += 4096 + k % 9, ++k) {
    const int64_t bytes = k % 11 == 0 ? 0 : k * 7 % 3000 + 1, shift = k % 5;
    pieces.push_back({result + at, source + at + shift, bytes});
    std::memcpy(want.data() + at, from.data() + at + shift, static_cast<size_t>(bytes));
  }
  ASSERT_GT(pieces.size(), 200u);
  pieces.push_back({result + kMiB, source, 2 * kMiB});
  std::memcpy(want.data() + kMiB, from.data(), 2 * kMiB);
  backend->copy_all(queue, pieces);
  EXPECT_EQ(now(), want);
  backend->copy_all(queue, {});
  backend->release(queue, source);
}

}  // namespace
}  // namespace plait
