// The group of one process.
#include "plait/distributed.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "plait/error.h"
#include "plait/ops.h"

using namespace plait;
using namespace plait::distributed;

TEST(Distributed, OneProcessIsAGroup) {
  const Group group = init();
  EXPECT_EQ(group.rank(), 0);
  EXPECT_EQ(group.size(), 1);
  for (const char* backend : {"any", "mpi", "nccl", "ring", "jaccl", "other"}) EXPECT_FALSE(is_available(backend));
  const Array x = Array::from<float>(std::vector<float>{1, 2, 3}, {3});
  for (const auto collective : {all_sum, all_max, all_min, all_gather, sum_scatter})
    EXPECT_EQ(collective(x, group).to_vector<float>(), x.to_vector<float>());
}

TEST(Distributed, WhatNeedsOthersIsAnError) {
  const Array x = ones({2});
  EXPECT_THROW(init().split(0), DeviceError);
  EXPECT_THROW(init(true), DeviceError);
  EXPECT_THROW(init(false, "smoke"), ArgumentError);
  EXPECT_THROW(send(x, 0), ArgumentError);
  EXPECT_THROW(recv({2}, DType::float32, 1), ArgumentError);
  EXPECT_THROW(recv_like(x, -1), ArgumentError);
}

TEST(Distributed, OneOfSeveralProcessesIsTold) {
  for (const std::string name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MLX_WORLD_SIZE", "MLX_HOSTFILE"}) {
    ASSERT_EQ(::setenv(name.c_str(), "4", 1), 0);
    try {
      init();
      ADD_FAILURE() << name;
    } catch (const DeviceError& error) {
      EXPECT_NE(std::string(error.what()).find(name + "=4"), std::string::npos) << error.what();
    }
    EXPECT_THROW(all_sum(ones({2})), DeviceError);
    ASSERT_EQ(::setenv(name.c_str(), name == "MLX_HOSTFILE" ? "" : "1", 1), 0);
    EXPECT_EQ(init().size(), 1);
    ASSERT_EQ(::unsetenv(name.c_str()), 0);
  }
}
