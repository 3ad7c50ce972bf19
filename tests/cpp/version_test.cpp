#include <gtest/gtest.h>

#include "plait/library.h"

TEST(InstalledVersion, IsExported) { EXPECT_STREQ(plait::version(), PLAIT_VERSION); }
