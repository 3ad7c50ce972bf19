#include "backends/cpu/jit/analysis.h"

#include <algorithm>

namespace plait::cpu::jit {

Analysis::Analysis(const Program& program) : program_(program), values_(program.tape.values) {
  mark_live();
  index_constants();
  choose_copies();
  assign_pointers();
  choose_hoisted();
}

void Analysis::mark_live() {
  live.assign(values_.size(), false);
  for (const auto& s : program_.stores) live[s.value] = true;
  for (const auto& r : program_.reduces) live[r.value] = true;
  for (size_t i = values_.size(); i-- > 0;)
    if (live[i])
      for (int id : values_[i].operands)
        if (id >= 0) live[id] = true;
}

void Analysis::index_constants() {
  constant_at.assign(values_.size(), -1);
  for (size_t i = 0; i < values_.size(); ++i) {
    if (!live[i] || values_[i].code != Code::constant) continue;
    constant_at[i] = static_cast<int>(constants.size());
    constants.push_back(values_[i].bits);
  }
  const auto extra = [&](uint32_t bits) {
    constants.push_back(bits);
    return static_cast<int>(constants.size()) - 1;
  };
  one = extra(1), round_half = extra(0x7fff), quiet = extra(0x400000);
}

Body Analysis::body(int copies) const {
  Body b;
  b.copies = copies;
  b.uses.resize(values_.size());
  int at = 0;
  for (size_t i = 0; i < values_.size(); ++i) {
    if (!live[i] || is_leaf(values_[i].code)) continue;
    b.order.push_back(static_cast<int>(i));
    for (int id : values_[i].operands)
      if (id >= 0 && (b.uses[id].empty() || b.uses[id].back() != at)) b.uses[id].push_back(at);
    ++at;
  }
  for (const auto& s : program_.stores) b.uses[s.value].push_back(kNever - 1);
  for (const auto& r : program_.reduces) b.uses[r.value].push_back(kNever - 1);
  return b;
}

/// Vectors, and masks, that are alive at once in one copy, leaves left out.
std::array<int, 2> Analysis::pressure(const Body& b) const {
  std::array<int, 2> now{}, most{};
  std::vector<std::vector<int>> ends(b.order.size() + 1);
  for (size_t p = 0; p < b.order.size(); ++p) {
    const int id = b.order[p];
    const int kind = gives_mask(values_[id].code);
    most[kind] = std::max(most[kind], ++now[kind]);
    const int last = b.uses[id].empty() ? static_cast<int>(p) : b.uses[id].back();
    ends[std::min<size_t>(static_cast<size_t>(last), b.order.size())].push_back(kind);
    for (int k : ends[p]) --now[k];
  }
  return most;
}

void Analysis::choose_copies() {
  single = body(1);
  const auto [vectors, masks] = pressure(single);
  const int free = kVectors - 4 - static_cast<int>(program_.reduces.size());
  const auto fits = [&](int copies) { return vectors * copies <= free && masks * copies <= kMasks - 3; };
  const size_t length = single.order.size();
  int copies = 1;
  if (length <= 16 && fits(4))
    copies = 4;
  else if (length <= 256 && fits(2))
    copies = 2;
  main = body(copies);
  spare_ = std::max(0, free - vectors * copies - 2);
}

void Analysis::assign_pointers() {
  const auto need = [&](int slot) {
    if (std::find(pointed.begin(), pointed.end(), slot) == pointed.end() &&
        static_cast<int>(pointed.size()) < kPointers)
      pointed.push_back(slot);
  };
  for (size_t i = 0; i < values_.size(); ++i)
    if (live[i] && is_leaf(values_[i].code) && values_[i].code < Code::uniform) need(static_cast<int>(values_[i].bits));
  for (const auto& s : program_.stores) need(s.slot);
}

void Analysis::choose_hoisted() {
  std::vector<int> order;
  for (size_t i = 0; i < values_.size(); ++i)
    if (live[i] && (values_[i].code == Code::constant || values_[i].code == Code::uniform))
      order.push_back(static_cast<int>(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return main.uses[a].size() > main.uses[b].size(); });
  if (static_cast<int>(order.size()) > spare_) order.resize(static_cast<size_t>(spare_));
  hoisted = order;
}

}  // namespace plait::cpu::jit
