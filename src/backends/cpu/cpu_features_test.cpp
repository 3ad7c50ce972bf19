#include "backends/cpu/cpu_features.h"

#include <gtest/gtest.h>

#include "plait/error.h"

namespace plait::cpu {
namespace {

TEST(CpuFeatures, ForcesAnySupportedTarget) {
  EXPECT_EQ(detail::target_for("portable"), Target::portable);
  for (const Target target : {Target::avx2, Target::avx512}) {
    const std::string name(name_of(target));
    if (supported(target)) {
      EXPECT_EQ(detail::target_for(name.c_str()), target);
    } else {
      EXPECT_THROW(detail::target_for(name.c_str()), DeviceError);
    }
  }
}

TEST(CpuFeatures, TakesTheBestWhenNothingIsForced) {
  const Target best = detail::target_for(nullptr);
  EXPECT_TRUE(supported(best));
  EXPECT_EQ(detail::target_for(""), best);
}

TEST(CpuFeatures, NamesWhatItAcceptsWhenTheNameIsUnknown) {
  try {
    detail::target_for("sse9");
    FAIL() << "an unknown name was accepted";
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.info().got, "sse9");
    EXPECT_EQ(error.info().accepts, "portable, avx2, avx512");
  }
}

}  // namespace
}  // namespace plait::cpu
