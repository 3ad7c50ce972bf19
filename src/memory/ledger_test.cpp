#include "memory/ledger.h"

#include <gtest/gtest.h>

namespace plait::ledger {
namespace {

TEST(Ledger, AddsUpByDirectionAndLine) {
  clear();
  EXPECT_EQ(totals(), Totals{});
  EXPECT_EQ(report(), "no transfers between memories\n");
  record({-1, 0, 100, 10, "model.py:3"});
  record({-1, 0, 300, 30, "model.py:3"});
  record({0, -1, 1000, 50, "train.py:9"});
  EXPECT_EQ(totals(), (Totals{3, 1400, 90}));
  EXPECT_EQ((totals_by_direction()[{-1, 0}]), (Totals{2, 400, 40}));
  EXPECT_EQ(last_transfers().back().where, "train.py:9");
  const std::string text = report();
  EXPECT_LT(text.find("device 0 to host, train.py:9"), text.find("host to device 0, model.py:3"));
  clear();
  EXPECT_EQ(totals(), Totals{});
  EXPECT_TRUE(last_transfers().empty());
}

TEST(Ledger, KeepsABoundedRecord) {
  clear();
  for (int i = 0; i < 20'000; ++i) record({-1, 0, 1, 1, ""});
  EXPECT_EQ(last_transfers().size(), 10'000u);
  EXPECT_EQ(totals().transfers, 20'000);
  clear();
}

}  // namespace
}  // namespace plait::ledger
