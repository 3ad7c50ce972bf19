// A DLPack capsule taken over from its producer.
#pragma once

#include <nanobind/nanobind.h>

#include <optional>

#include "dlpack.h"
#include "plait/stream.h"

namespace plait::python {

/// What a producer's __dlpack__ gave; given back when this goes.
///
/// Errors of the constructor: TypeError for what is no producer, DeviceError for memory that plait cannot use; what the
/// producer raises.
class Import {
 public:
  explicit Import(nanobind::handle producer);
  ~Import();
  Import(const Import&) = delete;
  Import& operator=(const Import&) = delete;

  const dlpack::Tensor& tensor() const { return versioned_ ? versioned_->tensor : managed_->tensor; }
  bool read_only() const { return versioned_ && (versioned_->flags & dlpack::kReadOnly) != 0; }
  /// Where the memory is, if not on the host. Its contents are complete for the calling thread's stream there.
  const std::optional<Device>& device() const { return device_; }

 private:
  dlpack::Managed* managed_ = nullptr;
  dlpack::ManagedVersioned* versioned_ = nullptr;
  std::optional<Device> device_;
};

}  // namespace plait::python
