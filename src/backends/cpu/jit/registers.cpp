#include "backends/cpu/jit/registers.h"

#include <algorithm>

namespace plait::cpu::jit {

using namespace Xbyak;
using Code = jit::Code;

void Registers::File::reset(int count) {
  holder.assign(static_cast<size_t>(count), -1);
  pinned.assign(static_cast<size_t>(count), 0);
  reserved.assign(static_cast<size_t>(count), 0);
}

void Registers::begin(const Body& b) {
  current_ = &b;
  copies_ = b.copies;
  places_.assign(values_.size() * static_cast<size_t>(copies_), {});
  spills_ = 0;
  files_[0].reset(kVectors);
  files_[1].reset(kMasks);
  files_[1].reserved[0] = 1;
  if (!program_.reduces.empty()) files_[1].reserved[kTailMask] = files_[1].reserved[kScratchMask] = 1;
  for (size_t k = 0; k < needs_.hoisted.size(); ++k) reserve(hoisted_reg(k), needs_.hoisted[k] * copies_);
  for (size_t k = 0; k < program_.reduces.size(); ++k) reserve(accumulator(k), -1);
}
void Registers::reserve(int reg, int number) {
  files_[0].holder[reg] = number;
  files_[0].reserved[reg] = 1;
  if (number >= 0) places_[number].reg = reg;
}

Reg64 Registers::pointer(int slot) {
  const auto at = std::find(needs_.pointed.begin(), needs_.pointed.end(), slot);
  if (at != needs_.pointed.end()) return pointers_[static_cast<size_t>(at - needs_.pointed.begin())];
  mov(rax, ptr[rdi + 8 * slot]);
  return rax;
}

int Registers::next_use(int number) const {
  const auto& uses = current_->uses[number / copies_];
  const size_t next = places_[number].next;
  return next < uses.size() ? uses[next] : kNever;
}

int Registers::take(File& file) {
  int best = -1, farthest = -1;
  for (size_t r = 0; r < file.holder.size(); ++r) {
    if (file.reserved[r] || file.pinned[r]) continue;
    const int use = file.holder[r] < 0 ? kNever + 1 : next_use(file.holder[r]);
    if (use > farthest) best = static_cast<int>(r), farthest = use;
  }
  if (best < 0) throw Xbyak::Error(ERR_INTERNAL);
  const int out = file.holder[best];
  if (out >= 0) {
    Place& place = places_[out];
    if (next_use(out) != kNever && place.spill < 0 && !is_leaf(values_[out / copies_].code)) {
      place.spill = spills_++;
      most_spills_ = std::max(most_spills_, spills_);
      const auto at = rsp + place.spill * kVectorBytes;
      if (is_mask(out))
        kmovw(word[at], Opmask(best));
      else
        vmovups(zword[at], Zmm(best));
    }
    place.reg = -1;
    file.holder[best] = -1;
  }
  return best;
}

int Registers::place_in(int number, File& file) {
  const int reg = take(file);
  file.holder[reg] = number;
  places_[number].reg = reg;
  return reg;
}
void Registers::hold(int number, int reg) {
  files_[0].holder[reg] = number;
  places_[number].reg = reg;
}

Address Registers::element(const AddressFrame& frame, int slot, int width, int copy) {
  const Reg64 base = pointer(slot);
  return frame[base + rcx * width + copy * kVectorLanes * width];
}

void Registers::load_leaf(int number, int reg) {
  const Value& v = values_[number / copies_];
  const int copy = number % copies_, slot = static_cast<int>(v.bits);
  switch (v.code) {
    case Code::load_f32: vmovups(Zmm(reg), element(zword, slot, 4, copy)); break;
    case Code::load_f16: vcvtph2ps(Zmm(reg), element(yword, slot, 2, copy)); break;
    case Code::load_bf16:
      vpmovzxwd(Zmm(reg), element(yword, slot, 2, copy));
      vpslld(Zmm(reg), Zmm(reg), 16);
      break;
    case Code::load_bool: load_mask(reg, element(xword, slot, 1, copy)); break;
    case Code::uniform: vbroadcastss(Zmm(reg), dword[pointer(slot)]); break;
    case Code::uniform_bool: load_mask(reg, xword[pointer(slot)]); break;
    case Code::constant: vbroadcastss(Zmm(reg), dword[r11 + 4 * needs_.constant_at[number / copies_]]); break;
    default: break;
  }
}
void Registers::load_mask(int reg, const Address& from) {
  const int t = free_vector();
  vmovdqu8(Xmm(t), from);
  vptestmb(Opmask(reg), Xmm(t), Xmm(t));
}

int Registers::get(int number) {
  File& file = file_of(number);
  Place& place = places_[number];
  if (place.reg < 0) {
    const int reg = place_in(number, file);
    file.pinned[reg] = 1;
    if (place.spill >= 0) {
      const auto at = rsp + place.spill * kVectorBytes;
      if (is_mask(number))
        kmovw(Opmask(reg), word[at]);
      else
        vmovups(Zmm(reg), zword[at]);
    } else {
      load_leaf(number, reg);
    }
  }
  file.pinned[place.reg] = 1;
  return place.reg;
}
void Registers::unpin() {
  for (File& file : files_) std::fill(file.pinned.begin(), file.pinned.end(), 0);
}

bool Registers::from_memory(int number) const {
  const Place& place = places_[number];
  if (place.reg >= 0) return false;
  switch (values_[number / copies_].code) {
    case Code::constant:
    case Code::uniform: return true;
    case Code::load_f32: {
      const auto& uses = current_->uses[number / copies_];
      return place.next + 1 >= uses.size();
    }
    default: return false;
  }
}
Address Registers::memory(int number) {
  const Value& v = values_[number / copies_];
  if (v.code == Code::constant) return zword_b[r11 + 4 * needs_.constant_at[number / copies_]];
  if (v.code == Code::uniform) return zword_b[pointer(static_cast<int>(v.bits))];
  return element(zword, static_cast<int>(v.bits), 4, number % copies_);
}

void Registers::release(const int* numbers, int at) {
  for (int k = 0; k < 3; ++k) {
    if (numbers[k] < 0) continue;
    Place& place = places_[numbers[k]];
    const auto& uses = current_->uses[numbers[k] / copies_];
    while (place.next < uses.size() && uses[place.next] <= at) ++place.next;
    if (place.next < uses.size() || place.reg < 0) continue;
    File& file = file_of(numbers[k]);
    if (file.reserved[place.reg]) continue;
    file.holder[place.reg] = -1;
    place.reg = -1;
  }
}

bool Registers::is_shared(int id) const {
  const Code code = values_[id].code;
  return code == Code::constant || code == Code::uniform || code == Code::uniform_bool;
}
int Registers::number_of(int id, int copy) const { return id * copies_ + (is_shared(id) ? 0 : copy); }

void Registers::finish(int number, const int* in, int at) {
  int ended[3] = {-1, -1, -1};
  for (int k = 0; k < 3; ++k) {
    if (in[k] < 0) continue;
    if (is_shared(in[k] / copies_) && number % copies_ != copies_ - 1) continue;
    ended[k] = in[k];
  }
  release(ended, at);
  unpin();
}
int Registers::result(int number) { return place_in(number, file_of(number)); }

bool Registers::ends(int number, int at) {
  const Place& place = places_[number];
  if (place.reg >= 0 && file_of(number).reserved[place.reg]) return false;
  if (is_shared(number / copies_)) return false;
  const auto& uses = current_->uses[number / copies_];
  size_t next = place.next;
  while (next < uses.size() && uses[next] <= at) ++next;
  return next == uses.size();
}

}  // namespace plait::cpu::jit
