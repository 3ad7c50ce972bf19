#include "memory/residency.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>
#include <thread>

#include "memory/allocator.h"
#include "memory/foreign_on_device.h"
#include "memory/ledger.h"
#include "plait/error.h"

namespace plait::memory {
namespace {

// Few buffers change place at once: they share locks, which are held while bytes move so that they move once.
std::mutex& lock_of(const Buffer& buffer) {
  constexpr size_t kLocks = 64;
  static auto* locks = new std::array<std::mutex, kLocks>;
  return (*locks)[reinterpret_cast<uintptr_t>(&buffer) / alignof(std::max_align_t) / 4 % kLocks];
}

DeviceCopy* copy_on(std::vector<DeviceCopy>& copies, int device) {
  for (DeviceCopy& copy : copies)
    if (copy.device == device) return &copy;
  return nullptr;
}

DeviceCopy* current_copy(std::vector<DeviceCopy>& copies) {
  for (DeviceCopy& copy : copies)
    if (copy.current) return &copy;
  return nullptr;
}

/// Null for memory that is not someone else's on a device.
ForeignOnDevice* foreign_of(ForeignDeleter deleter, void* context) {
  return deleter == ForeignOnDevice::release ? static_cast<ForeignOnDevice*>(context) : nullptr;
}

Mark completed(DeviceMemory& devices, const DeviceCopy& copy) {
  return copy.written.at ? copy.written : devices.mark(copy.writer);
}

// What is enqueued on `queue` next comes after all that still uses the copy.
void wait_for_users(DeviceMemory& devices, Queue queue, DeviceCopy& copy) {
  if (copy.writer != queue) devices.wait(queue, completed(devices, copy));
  for (Queue reader : copy.readers)
    if (reader != queue) devices.wait(queue, devices.mark(reader));
  copy.readers.clear();
}

void note_reader(DeviceCopy& copy, Queue queue) {
  if (queue != copy.home && std::find(copy.readers.begin(), copy.readers.end(), queue) == copy.readers.end())
    copy.readers.push_back(queue);
}

template <class Move>
void transfer(int from, int to, int64_t bytes, std::string line, Move&& move) {
  ledger::admit(from, to, bytes, line);
  const auto start = std::chrono::steady_clock::now();
  move();
  const auto took = std::chrono::steady_clock::now() - start;
  ledger::record({from, to, bytes, std::chrono::nanoseconds(took).count(), std::move(line)});
}

}  // namespace

void* Residency::fetch(Buffer& buffer, Where where) {
  // Both without the lock: a signal handler may run meanwhile, and ask for other values; the line may wait for Python.
  finish(buffer);
  std::string line = where();
  const std::lock_guard lock(lock_of(buffer));
  if (buffer.host_current()) return buffer.data_;
  DeviceMemory& devices = *device_memory();
  DeviceCopy* from = current_copy(*buffer.copies_);
  check_internal(from != nullptr, "a buffer is current nowhere");
  void* data = buffer.data_;
  ForeignOnDevice* const foreign = foreign_of(buffer.foreign_, buffer.foreign_context_);
  Block block{data, foreign ? foreign->host.capacity : buffer.capacity_};
  if (!data) block = take_block(buffer.bytes_);
  try {
    transfer(from->device, kHost, buffer.bytes_, std::move(line),
             [&] { devices.download(completed(devices, *from), block.data, from->data, buffer.bytes_); });
  } catch (...) {
    if (!data) return_block(block);
    throw;
  }
  if (!data) {
    buffer.data_ = block.data;
    if (foreign)
      foreign->host = block;
    else
      buffer.capacity_ = block.capacity;
  }
  buffer.state_.fetch_and(~Buffer::kHostStale, std::memory_order_acq_rel);
  return buffer.data_;
}

void* Residency::on_queue(Buffer& buffer, Queue queue, Where where) {
  DeviceMemory& devices = *device_memory();
  const int device = devices.device_of(queue);
  DeviceCopy* copy = nullptr;
  const auto ready = [&] {
    if (!buffer.copies_) buffer.copies_ = std::make_unique<std::vector<DeviceCopy>>();
    copy = copy_on(*buffer.copies_, device);
    if (!copy || !copy->current || buffer.user_visible()) return false;
    if (copy->writer != queue) devices.wait(queue, completed(devices, *copy));
    note_reader(*copy, queue);
    return true;
  };
  std::unique_lock lock(lock_of(buffer));
  if (ready()) return copy->data;
  lock.unlock();
  std::string line = where();  // without the lock: it may wait for Python
  lock.lock();
  if (ready()) return copy->data;
  if (!copy) {
    buffer.copies_->reserve(buffer.copies_->size() + 1);
    void* data = devices.allocate(queue, buffer.bytes_);
    copy = &buffer.copies_->emplace_back();
    copy->device = device;
    copy->data = data;
    copy->home = copy->writer = queue;
    buffer.state_.fetch_or(Buffer::kOnDevice, std::memory_order_acq_rel);
  }
  wait_for_users(devices, queue, *copy);
  copy->current = false;
  if (buffer.host_current()) {
    transfer(kHost, device, buffer.bytes_, std::move(line),
             [&] { devices.upload(queue, copy->data, buffer.data_, buffer.bytes_); });
  } else {
    DeviceCopy* from = current_copy(*buffer.copies_);
    check_internal(from != nullptr, "a buffer is current nowhere");
    transfer(from->device, device, buffer.bytes_, std::move(line), [&] {
      devices.wait(queue, completed(devices, *from));
      devices.copy(queue, copy->data, from->data, buffer.bytes_);
      note_reader(*from, queue);
    });
  }
  copy->current = true;
  copy->writer = queue;
  copy->written = {};
  note_reader(*copy, queue);
  return copy->data;
}

void Residency::overwrite_on(Buffer& buffer, Queue queue) {
  const std::lock_guard lock(lock_of(buffer));
  DeviceMemory& devices = *device_memory();
  DeviceCopy* copy = copy_on(*buffer.copies_, devices.device_of(queue));
  check_internal(copy != nullptr && copy->current, "a device overwrites what it does not hold");
  wait_for_users(devices, queue, *copy);
  for (DeviceCopy& other : *buffer.copies_) other.current = &other == copy;
  copy->writer = queue;
  copy->written = {};
  note_reader(*copy, queue);
  buffer.state_.fetch_or(Buffer::kHostStale, std::memory_order_acq_rel);
  if (buffer.data_) return_block({std::exchange(buffer.data_, nullptr), std::exchange(buffer.capacity_, 0)});
}

bool Residency::current_in(Buffer& buffer, int memory) {
  if (memory == kHost) return buffer.host_current();
  if (!(buffer.state_.load(std::memory_order_acquire) & Buffer::kOnDevice) || buffer.user_visible()) return false;
  const std::lock_guard lock(lock_of(buffer));
  const DeviceCopy* copy = copy_on(*buffer.copies_, memory);
  return copy && copy->current;
}

void Residency::complete_at(Buffer& buffer, Mark mark, const HeldNotes& notes) {
  const uint32_t state = buffer.state_.load(std::memory_order_acquire);
  if (!(state & Buffer::kOnDevice)) return;
  const std::lock_guard lock(lock_of(buffer));
  for (DeviceCopy& copy : *buffer.copies_) {
    if (!copy.current || copy.written.at != 0 || copy.writer != mark.queue) continue;
    copy.written = mark;
    if (notes.empty() && !buffer.notes_) continue;
    buffer.notes_ = notes.empty() ? nullptr : std::make_unique<HeldNotes>(notes);
    if (notes.empty())
      buffer.state_.fetch_and(~Buffer::kNoted, std::memory_order_acq_rel);
    else
      buffer.state_.fetch_or(Buffer::kNoted, std::memory_order_acq_rel);
  }
}

void Residency::finish(Buffer& buffer) {
  if (buffer.host_current()) return;
  Mark mark;
  {
    const std::lock_guard lock(lock_of(buffer));
    const DeviceCopy* copy = current_copy(*buffer.copies_);
    if (!copy) return;
    mark = completed(*device_memory(), *copy);
  }
  device_memory()->finish(mark);
  HeldNotes notes;
  add_notes_of(buffer, notes);
  for (const auto& note : notes) note->check();
}

void Residency::add_notes(Buffer& buffer, HeldNotes& notes) {
  const std::lock_guard lock(lock_of(buffer));
  if (!buffer.notes_) return;
  HeldNotes left;
  for (const auto& note : *buffer.notes_)
    if (!note->clear()) left.push_back(note);
  for (const auto& note : left)
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  if (left.empty()) buffer.state_.fetch_and(~Buffer::kNoted, std::memory_order_acq_rel);
  *buffer.notes_ = std::move(left);
}

void Residency::host_may_have_changed(Buffer& buffer) noexcept {
  if (!(buffer.state_.load(std::memory_order_acquire) & Buffer::kOnDevice)) return;
  const std::lock_guard lock(lock_of(buffer));
  for (DeviceCopy& copy : *buffer.copies_) copy.current = false;
}

void Residency::release_copies(Buffer& buffer) noexcept {
  DeviceMemory& devices = *device_memory();
  const ForeignOnDevice* const foreign = foreign_of(buffer.foreign_, buffer.foreign_context_);
  for (DeviceCopy& copy : *buffer.copies_) {
    try {
      wait_for_users(devices, copy.home, copy);
      if (foreign && copy.data == foreign->data) {  // its owner may use it again at once
        const Mark last = devices.mark(copy.home);
        while (!devices.reached(last)) std::this_thread::sleep_for(std::chrono::microseconds(20));
        continue;
      }
    } catch (...) {
      continue;  // the device is lost: nobody will use its memory again
    }
    devices.release(copy.home, copy.data);
  }
}

}  // namespace plait::memory
