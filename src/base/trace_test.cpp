#include "base/trace.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/parallel.h"

namespace plait::trace {
namespace {

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

TEST(Trace, OffRecordsAndBuildsNothing) {
  bool built = false;
  {
    const Span span("step", [&] {
      built = true;
      return "never";
    });
    instant("reason", "never", "key", 1);
  }
  EXPECT_FALSE(built);
  trace_start();
  EXPECT_EQ(trace_stop().find("never"), std::string::npos);
}

TEST(Trace, SpansCarryNamesAndArguments) {
  trace_start();
  {
    Span span("step", "add+mul", "where", [] { return std::string("a \"b\"\\\n.py:3"); }, "bytes", 12, "share", 0.5);
    span.add("tier", "jit", "ratio", 1.0 / 0.0);
    instant("reason", "planned");
  }
  const std::string text = trace_stop();
  EXPECT_NE(text.find(R"("ph":"X","cat":"step","name":"add+mul","ts":)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("args":{"where":"a \"b\"\\\u000a.py:3","bytes":12,"share":0.5,"tier":"jit","ratio":"inf"})"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(R"("ph":"i","cat":"reason","name":"planned")"), std::string::npos) << text;
  EXPECT_EQ(text.find(",\n]"), std::string::npos);
}

TEST(Trace, ASpanThatOutlivesItsRecordingIsDropped) {
  trace_start();
  {
    const Span span("step", "late");
    trace_stop();
    trace_start();
  }
  EXPECT_EQ(trace_stop().find("late"), std::string::npos);
}

TEST(Trace, ThreadsThatEndedAreInIt) {
  trace_start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 2000; ++i) const Span span("step", "work", "i", i);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(occurrences(trace_stop(), "\"work\""), 8000u);
  trace_start();
  EXPECT_EQ(occurrences(trace_stop(), "\"work\""), 0u);
}

TEST(Trace, StartAndStopWhileThreadsRecord) {
  std::atomic<bool> quit{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!quit) const Span span("step", "work");
    });
  }
  for (int i = 0; i < 10; ++i) {
    trace_start();
    std::this_thread::yield();
    EXPECT_TRUE(trace_stop().ends_with("}}}\n"));
  }
  quit = true;
  for (auto& thread : threads) thread.join();
}

TEST(Trace, CountersOfOneNameAreOne) {
  static Counter plans("test_plans");
  const int64_t before = plans.value();
  trace_start();
  parallel_for(1000, 1, [](int64_t, int64_t) { plans.add(); });
  count("test_plans", 5);
  reason("evaluated", "printed");
  EXPECT_EQ(plans.value(), before + 1005);
  EXPECT_EQ(trace_counters().at("test_plans"), before + 1005);
  EXPECT_EQ(trace_counters().at("evaluated: printed"), 1);
  const std::string text = trace_stop();
  EXPECT_NE(text.find("\"test_plans\":1005"), std::string::npos) << text;
  EXPECT_NE(text.find("\"name\":\"evaluated: printed\""), std::string::npos);
}

}  // namespace
}  // namespace plait::trace
