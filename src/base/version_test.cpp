#include <gtest/gtest.h>

#include "plait/library.h"

TEST(Version, IsTheHeaders) { EXPECT_STREQ(plait::version(), PLAIT_VERSION); }
