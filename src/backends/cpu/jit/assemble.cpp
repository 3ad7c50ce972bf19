#include "backends/cpu/jit/assemble.h"

#include <xbyak/xbyak.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/tile_kernels.h"
#include "plait/error.h"

namespace plait::cpu::jit {
namespace {

using namespace Xbyak;
using Code = jit::Code;

constexpr int kVectorBytes = 64, kVectorLanes = 16;
constexpr int kNever = 1 << 30;
constexpr int kVectors = 32, kMasks = 8;
constexpr int kTailMask = 7;     // lanes of the last vector that are elements, when there are reductions
constexpr int kScratchMask = 1;  // inside one instruction sequence, when there are reductions

/// What one iteration of a loop does: the tape for `copies` vectors side by side, so that one's latency is another's time.
struct Body {
  int copies = 1;
  std::vector<int> order;  // values that are computed, leaves left out, each `copies` times
  std::vector<std::vector<int>>
      uses;  // per value: positions in `order` that read it, ascending; kNever - 1 for the end
};

class Assembler : public CodeGenerator {
 public:
  Assembler(const Program& program, bool streaming)
      : CodeGenerator(4096, AutoGrow), program_(program), values_(program.tape.values), streaming_(streaming) {
    mark_live();
    index_constants();
    choose_copies();
    assign_pointers();
    choose_hoisted();
    generate();
    readyRE();
  }

 private:
  // --- what is needed ------------------------------------------------------------------------------------------------

  void mark_live() {
    live_.assign(values_.size(), false);
    for (const auto& s : program_.stores) live_[s.value] = true;
    for (const auto& r : program_.reduces) live_[r.value] = true;
    for (size_t i = values_.size(); i-- > 0;)
      if (live_[i])
        for (int id : values_[i].operands)
          if (id >= 0) live_[id] = true;
  }

  void index_constants() {
    constant_at_.assign(values_.size(), -1);
    for (size_t i = 0; i < values_.size(); ++i) {
      if (!live_[i] || values_[i].code != Code::constant) continue;
      constant_at_[i] = static_cast<int>(constants_.size());
      constants_.push_back(values_[i].bits);
    }
    const auto extra = [&](uint32_t bits) {
      constants_.push_back(bits);
      return static_cast<int>(constants_.size()) - 1;
    };
    one_ = extra(1), round_half_ = extra(0x7fff), quiet_ = extra(0x400000);
  }

  Body body(int copies) const {
    Body b;
    b.copies = copies;
    b.uses.resize(values_.size());
    int at = 0;
    for (size_t i = 0; i < values_.size(); ++i) {
      if (!live_[i] || is_leaf(values_[i].code)) continue;
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
  std::array<int, 2> pressure(const Body& b) const {
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

  void choose_copies() {
    single_ = body(1);
    const auto [vectors, masks] = pressure(single_);
    const int free = kVectors - 4 - static_cast<int>(program_.reduces.size());
    const auto fits = [&](int copies) { return vectors * copies <= free && masks * copies <= kMasks - 3; };
    const size_t length = single_.order.size();
    int copies = 1;
    if (length <= 16 && fits(4))
      copies = 4;
    else if (length <= 256 && fits(2))
      copies = 2;
    main_ = body(copies);
    spare_ = std::max(0, free - vectors * copies - 2);
  }

  // --- where things are ----------------------------------------------------------------------------------------------

  void assign_pointers() {
    const auto need = [&](int slot) {
      if (std::find(pointed_.begin(), pointed_.end(), slot) == pointed_.end() && pointed_.size() < pointers_.size())
        pointed_.push_back(slot);
    };
    for (size_t i = 0; i < values_.size(); ++i)
      if (live_[i] && is_leaf(values_[i].code) && values_[i].code < Code::uniform)
        need(static_cast<int>(values_[i].bits));
    for (const auto& s : program_.stores) need(s.slot);
  }

  /// A register that points to the slot's memory; rax if the registers do not suffice.
  Reg64 pointer(int slot) {
    const auto at = std::find(pointed_.begin(), pointed_.end(), slot);
    if (at != pointed_.end()) return pointers_[static_cast<size_t>(at - pointed_.begin())];
    mov(rax, ptr[rdi + 8 * slot]);
    return rax;
  }

  void choose_hoisted() {
    std::vector<int> order;
    for (size_t i = 0; i < values_.size(); ++i)
      if (live_[i] && (values_[i].code == Code::constant || values_[i].code == Code::uniform))
        order.push_back(static_cast<int>(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return main_.uses[a].size() > main_.uses[b].size(); });
    if (static_cast<int>(order.size()) > spare_) order.resize(static_cast<size_t>(spare_));
    hoisted_ = order;
  }

  // --- registers -----------------------------------------------------------------------------------------------------

  // One value of one copy: number `id * copies + copy`.
  struct Place {
    int reg = -1, spill = -1;
    size_t next = 0;  // into uses
  };
  struct File {  // vector registers, or masks
    std::vector<int> holder;
    std::vector<char> pinned, reserved;
    void reset(int count) {
      holder.assign(static_cast<size_t>(count), -1);
      pinned.assign(static_cast<size_t>(count), 0);
      reserved.assign(static_cast<size_t>(count), 0);
    }
  };

  bool is_mask(int number) const { return gives_mask(values_[number / copies_].code); }
  File& file_of(int number) { return files_[is_mask(number)]; }

  int next_use(int number) const {
    const auto& uses = current_->uses[number / copies_];
    const size_t next = places_[number].next;
    return next < uses.size() ? uses[next] : kNever;
  }

  int take(File& file) {
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

  int place_in(int number, File& file) {
    const int reg = take(file);
    file.holder[reg] = number;
    places_[number].reg = reg;
    return reg;
  }

  /// Where row elements of a slot are for copy `copy`: `width` bytes each.
  Address element(const AddressFrame& frame, int slot, int width, int copy) {
    const Reg64 base = pointer(slot);
    return frame[base + rcx * width + copy * kVectorLanes * width];
  }

  void load_leaf(int number, int reg) {
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
      case Code::constant: vbroadcastss(Zmm(reg), dword[r11 + 4 * constant_at_[number / copies_]]); break;
      default: break;
    }
  }
  void load_mask(int reg, const Address& from) {
    File& file = files_[0];
    const int t = take(file);
    vmovdqu8(Xmm(t), from);
    vptestmb(Opmask(reg), Xmm(t), Xmm(t));
  }

  /// The register that holds the value now; it stays until unpin().
  int get(int number) {
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
  void unpin() {
    for (File& file : files_) std::fill(file.pinned.begin(), file.pinned.end(), 0);
  }

  /// Whether an instruction reads the value from memory: a leaf without a register that needs none.
  bool from_memory(int number) const {
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
  Address memory(int number) {
    const Value& v = values_[number / copies_];
    if (v.code == Code::constant) return zword_b[r11 + 4 * constant_at_[number / copies_]];
    if (v.code == Code::uniform) return zword_b[pointer(static_cast<int>(v.bits))];
    return element(zword, static_cast<int>(v.bits), 4, number % copies_);
  }
  static constexpr bool commutes(Code code) {
    switch (code) {
      case Code::add:
      case Code::mul:
      case Code::int_add:
      case Code::bit_and:
      case Code::bit_or:
      case Code::bit_xor: return true;
      default: return false;
    }
  }

  /// The operands of position `at` are read: those that end there give their registers back.
  void release(const int* numbers, int at) {
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

  // --- instructions --------------------------------------------------------------------------------------------------

  void emit(int number, int at) {
    const Value& v = values_[number / copies_];
    const int copy = number % copies_;
    int in[3];
    for (int k = 0; k < 3; ++k) {
      const int id = v.operands[k];
      in[k] = id < 0 ? -1 : number_of(id, copy);
    }
    switch (v.code) {
      case Code::fma: emit_fma(number, in, at); break;
      case Code::copy:
      case Code::sqrt:
      case Code::round:
      case Code::get_exponent:
      case Code::get_mantissa:
      case Code::round_f16:
      case Code::shift_left:
      case Code::shift_right:
      case Code::shift_right_signed: emit_unary(number, v, in, at); break;
      case Code::compare:
      case Code::compare_int:
      case Code::compare_unsigned: {
        const Zmm a(get(in[0]));
        if (from_memory(in[1])) {
          const Address m = memory(in[1]);
          finish(number, in, at);
          emit_compare(v, result(number), a, m);
        } else {
          const Zmm b(get(in[1]));
          finish(number, in, at);
          emit_compare(v, result(number), a, b);
        }
        break;
      }
      case Code::mask_and:
      case Code::mask_or:
      case Code::mask_xor:
      case Code::mask_not: {
        const Opmask a(get(in[0])), b(in[1] < 0 ? 0 : get(in[1]));
        finish(number, in, at);
        const Opmask to(result(number));
        if (v.code == Code::mask_and) kandw(to, a, b);
        if (v.code == Code::mask_or) korw(to, a, b);
        if (v.code == Code::mask_xor) kxorw(to, a, b);
        if (v.code == Code::mask_not) knotw(to, a);
        break;
      }
      case Code::blend: {
        const Opmask mask(get(in[0]));
        const Zmm no(get(in[2]));
        if (from_memory(in[1])) {
          const Address yes = memory(in[1]);
          finish(number, in, at);
          vblendmps(Zmm(result(number)) | mask, no, yes);
        } else {
          const Zmm yes(get(in[1]));
          finish(number, in, at);
          vblendmps(Zmm(result(number)) | mask, no, yes);
        }
        break;
      }
      default: emit_binary(number, v, in, at); break;
    }
    unpin();
  }

  int number_of(int id, int copy) const {
    const Code code = values_[id].code;
    const bool shared = code == Code::constant || code == Code::uniform || code == Code::uniform_bool;
    return id * copies_ + (shared ? 0 : copy);
  }
  /// Operands are in registers (pinned) or memory: from here on their registers may be the result's. Shared leaves are read by
  /// other copies at the same position, so they end only with the last copy.
  void finish(int number, const int* in, int at) {
    int ended[3] = {-1, -1, -1};
    for (int k = 0; k < 3; ++k) {
      if (in[k] < 0) continue;
      const int id = in[k] / copies_;
      if (number_of(id, 1) == number_of(id, 0) && number % copies_ != copies_ - 1) continue;
      ended[k] = in[k];
    }
    release(ended, at);
    unpin();
  }
  /// The register of the result. rax, which a memory operand may use, is not touched.
  int result(int number) { return place_in(number, file_of(number)); }

  void emit_compare(const Value& v, int to, const Zmm& a, const Operand& b) {
    if (v.code == Code::compare) vcmpps(Opmask(to), a, b, v.imm);
    if (v.code == Code::compare_int) vpcmpd(Opmask(to), a, b, v.imm);
    if (v.code == Code::compare_unsigned) vpcmpud(Opmask(to), a, b, v.imm);
  }

  void emit_unary(int number, const Value& v, const int* in, int at) {
    const Zmm a(get(in[0]));
    finish(number, in, at);
    const Zmm to(result(number));
    switch (v.code) {
      case Code::copy: vmovaps(to, a); break;
      case Code::sqrt: vsqrtps(to, a); break;
      case Code::round: vrndscaleps(to, a, v.imm); break;
      case Code::get_exponent: vgetexpps(to, a); break;
      case Code::get_mantissa: vgetmantps(to, a, v.imm); break;
      case Code::round_f16:
        vcvtps2ph(Ymm(to.getIdx()), a, 8);  // to nearest even, no exceptions
        vcvtph2ps(to, Ymm(to.getIdx()));
        break;
      case Code::shift_left: vpslld(to, a, v.imm); break;
      case Code::shift_right: vpsrld(to, a, v.imm); break;
      case Code::shift_right_signed: vpsrad(to, a, v.imm); break;
      default: break;
    }
  }

  void emit_binary(int number, const Value& v, int* in, int at) {
    if (commutes(v.code) && from_memory(in[0]) && !from_memory(in[1])) std::swap(in[0], in[1]);
    const Zmm a(get(in[0]));
    if (from_memory(in[1])) {
      const Address b = memory(in[1]);
      finish(number, in, at);
      emit_binary(v.code, Zmm(result(number)), a, b);
    } else {
      const Zmm b(get(in[1]));
      finish(number, in, at);
      emit_binary(v.code, Zmm(result(number)), a, b);
    }
  }
  void emit_binary(Code code, const Zmm& to, const Zmm& a, const Operand& b) {
    switch (code) {
      case Code::add: vaddps(to, a, b); break;
      case Code::sub: vsubps(to, a, b); break;
      case Code::mul: vmulps(to, a, b); break;
      case Code::div: vdivps(to, a, b); break;
      case Code::min_or_second: vminps(to, a, b); break;
      case Code::max_or_second: vmaxps(to, a, b); break;
      case Code::scalef: vscalefps(to, a, b); break;
      case Code::int_add: vpaddd(to, a, b); break;
      case Code::int_sub: vpsubd(to, a, b); break;
      case Code::bit_and: vpandd(to, a, b); break;
      case Code::bit_or: vpord(to, a, b); break;
      case Code::bit_xor: vpxord(to, a, b); break;
      default: throw Xbyak::Error(ERR_INTERNAL);
    }
  }

  /// a * b + c over one of its operands: one that ends here, else a copy.
  void emit_fma(int number, int* in, int at) {
    const auto ends = [&](int n) {
      if (places_[n].reg >= 0 && file_of(n).reserved[places_[n].reg]) return false;
      if (number_of(n / copies_, 1) == number_of(n / copies_, 0)) return false;
      const auto& uses = current_->uses[n / copies_];
      size_t next = places_[n].next;
      while (next < uses.size() && uses[next] <= at) ++next;
      return next == uses.size();
    };
    if (from_memory(in[0]) && !from_memory(in[1])) std::swap(in[0], in[1]);
    const bool twice = in[0] == in[1] || in[0] == in[2] || in[1] == in[2];
    int mem = -1;
    if (!twice) {
      if (from_memory(in[2]))
        mem = 2;
      else if (from_memory(in[1]))
        mem = 1;
    }
    int reg[3] = {-1, -1, -1};
    for (int k = 0; k < 3; ++k)
      if (k != mem) reg[k] = get(in[k]);
    int over = -1;
    if (!twice)
      for (int k = 0; k < 3; ++k)
        if (k != mem && ends(in[k])) over = k;
    if (over < 0) {
      // The copy must not be one of the operands' registers, which stay pinned until it is made.
      const int fresh = take(files_[0]);
      const int from = mem == 0 || twice ? 0 : (mem == 1 ? 2 : 0);
      vmovaps(Zmm(fresh), Zmm(reg[from]));
      fuse(from, fresh, reg, mem, in);
      finish(number, in, at);
      files_[0].holder[fresh] = number;
      places_[number].reg = fresh;
    } else {
      const int to = reg[over];
      fuse(over, to, reg, mem, in);
      finish(number, in, at);
      files_[0].holder[to] = number;
      places_[number].reg = to;
    }
  }
  void fuse(int over, int to, const int* reg, int mem, const int* in) {
    const Zmm d(to);
    const int x = over == 0 ? 1 : 0, y = over == 2 ? 1 : 2;  // the other two
    if (over == 2) {  // d = a * b + d
      if (mem == 0) {
        const Address m = memory(in[0]);
        vfmadd231ps(d, Zmm(reg[1]), m);
      } else if (mem == 1) {
        const Address m = memory(in[1]);
        vfmadd231ps(d, Zmm(reg[0]), m);
      } else {
        vfmadd231ps(d, Zmm(reg[0]), Zmm(reg[1]));
      }
    } else if (mem == x) {  // d = d * m + c
      const Address m = memory(in[x]);
      vfmadd132ps(d, Zmm(reg[y]), m);
    } else if (mem == y) {  // d = d * b + m
      const Address m = memory(in[y]);
      vfmadd213ps(d, Zmm(reg[x]), m);
    } else {
      vfmadd213ps(d, Zmm(reg[x]), Zmm(reg[y]));
    }
  }

  // --- results -------------------------------------------------------------------------------------------------------

  void store(const Program::Store& s, int copy) {
    const int number = number_of(s.value, copy);
    const int reg = get(number);
    const bool past = streaming_ && s.result;
    switch (s.dtype) {
      case DType::float32: {
        const Address to = element(zword, s.slot, 4, copy);
        past ? vmovntps(to, Zmm(reg)) : vmovups(to, Zmm(reg));
        break;
      }
      case DType::float16: {
        const int t = take(files_[0]);
        vcvtps2ph(Ymm(t), Zmm(reg), 8);
        store_half(s.slot, copy, t, past);
        break;
      }
      case DType::bfloat16: {
        const int t = take(files_[0]);
        if (!holds_bf16(s.value)) {
          // To nearest even; a carry into the exponent is what rounding up means. NaN stays NaN.
          const Opmask nan(take(files_[1]));
          vpsrld(Zmm(t), Zmm(reg), 16);
          vpandd(Zmm(t), Zmm(t), zword_b[r11 + 4 * one_]);
          vpaddd(Zmm(t), Zmm(t), Zmm(reg));
          vpaddd(Zmm(t), Zmm(t), zword_b[r11 + 4 * round_half_]);
          vcmpps(nan, Zmm(reg), Zmm(reg), 3);
          vpord(Zmm(t) | nan, Zmm(reg), zword_b[r11 + 4 * quiet_]);
          vpsrld(Zmm(t), Zmm(t), 16);
        } else {
          vpsrld(Zmm(t), Zmm(reg), 16);
        }
        vpmovdw(Ymm(t), Zmm(t));
        store_half(s.slot, copy, t, past);
        break;
      }
      default: {  // bool
        const int t = take(files_[0]);
        vpmovm2b(Xmm(t), Opmask(reg));
        vpabsb(Xmm(t), Xmm(t));
        const Address to = element(xword, s.slot, 1, copy);
        vmovdqu8(to, Xmm(t));
        break;
      }
    }
    unpin();
  }
  void store_half(int slot, int copy, int reg, bool past) {
    const Address to = element(yword, slot, 2, copy);
    past ? vmovntdq(to, Ymm(reg)) : vmovdqu16(to, Ymm(reg));
  }
  bool holds_bf16(int id) const {
    const Value& v = values_[id];
    return v.code == Code::load_bf16 || (v.code == Code::shift_left && v.imm == 16);
  }

  void reduce(const Program::Reduce& r, int accumulator, int copy, bool masked) {
    const Zmm x(get(number_of(r.value, copy))), acc(accumulator);
    const Opmask tail(kTailMask), nan(kScratchMask);
    const Zmm to = masked ? acc | tail : acc;
    if (r.reduction >= 2) {  // as max() and min() in simd/vec.h
      if (masked)
        vcmpps(nan | tail, x, x, 3);
      else
        vcmpps(nan, x, x, 3);
      r.reduction == 2 ? vmaxps(to, x, acc) : vminps(to, x, acc);
      vmovaps(acc | nan, x);
    } else {
      r.reduction == 0 ? vaddps(to, acc, x) : vmulps(to, acc, x);
    }
    unpin();
  }

  // --- loops ---------------------------------------------------------------------------------------------------------

  void iteration(const Body& b, bool masked) {
    current_ = &b;
    copies_ = b.copies;
    places_.assign(values_.size() * static_cast<size_t>(copies_), {});
    spills_ = 0;
    files_[0].reset(kVectors);
    files_[1].reset(kMasks);
    files_[1].reserved[0] = 1;
    if (!program_.reduces.empty()) files_[1].reserved[kTailMask] = files_[1].reserved[kScratchMask] = 1;
    for (size_t k = 0; k < hoisted_.size(); ++k) reserve(hoisted_reg(k), hoisted_[k] * copies_);
    for (size_t k = 0; k < program_.reduces.size(); ++k) reserve(accumulator(k), -1);
    if (streaming_) prefetch();
    for (size_t p = 0; p < b.order.size(); ++p)
      for (int copy = 0; copy < copies_; ++copy) emit(b.order[p] * copies_ + copy, static_cast<int>(p));
    for (int copy = 0; copy < copies_; ++copy)
      for (size_t k = 0; k < program_.reduces.size(); ++k) reduce(program_.reduces[k], accumulator(k), copy, masked);
    for (int copy = 0; copy < copies_; ++copy) {
      for (const auto& s : program_.stores) store(s, copy);
    }
    most_spills_ = std::max(most_spills_, spills_);
  }
  void reserve(int reg, int number) {
    files_[0].holder[reg] = number;
    files_[0].reserved[reg] = 1;
    if (number >= 0) places_[number].reg = reg;
  }
  int accumulator(size_t k) const { return kVectors - 1 - static_cast<int>(k); }
  int hoisted_reg(size_t k) const { return kVectors - 1 - static_cast<int>(program_.reduces.size() + k); }

  /// Brings the cache lines of `ahead` that belong to this iteration closer.
  void prefetch() {
    for (size_t i = 0; i < values_.size(); ++i) {
      const Value& v = values_[i];
      if (!live_[i] || v.code >= Code::uniform) continue;
      const int width = v.code == Code::load_f32 ? 4 : v.code == Code::load_bool ? 1 : 2;
      mov(rax, ptr[rsi + 8 * static_cast<int>(v.bits)]);
      for (int copy = 0; copy < copies_; copy += 4 / width)
        prefetcht1(ptr[rax + rcx * width + copy * width * kVectorLanes]);
    }
  }

  // Registers: rdi slots, rsi ahead, rdx n, rcx the element, r11 constants, rax scratch, rbp the frame.
  void generate() {
    const Reg64 saved[] = {rbx, r12, r13, r14, r15};
    push(rbp);
    mov(rbp, rsp);
    for (const Reg64& r : saved) push(r);
    sub(rsp, 0x7fffff);  // the size of the frame comes later
    const size_t frame_at = getSize() - 4;
    and_(rsp, -kVectorBytes);
    mov(r11, reinterpret_cast<uint64_t>(constants_.data()));
    for (size_t k = 0; k < pointed_.size(); ++k) mov(pointers_[k], ptr[rdi + 8 * pointed_[k]]);
    for (size_t k = 0; k < hoisted_.size(); ++k) {
      const Value& v = values_[hoisted_[k]];
      const Zmm to(hoisted_reg(k));
      if (v.code == Code::constant)
        vbroadcastss(to, dword[r11 + 4 * constant_at_[hoisted_[k]]]);
      else
        vbroadcastss(to, dword[pointer(static_cast<int>(v.bits))]);
    }
    for (size_t k = 0; k < program_.reduces.size(); ++k) {
      mov(rax, ptr[rdi + 8 * program_.reduces[k].slot]);
      vmovups(Zmm(accumulator(k)), zword[rax]);
    }
    xor_(ecx, ecx);
    if (program_.reduces.empty())
      loop(main_, false);
    else
      loop_exactly();
    for (size_t k = 0; k < program_.reduces.size(); ++k) {
      mov(rax, ptr[rdi + 8 * program_.reduces[k].slot]);
      vmovups(zword[rax], Zmm(accumulator(k)));
    }
    vzeroupper();
    lea(rsp, ptr[rbp - 8 * static_cast<int>(std::size(saved))]);
    for (size_t k = std::size(saved); k-- > 0;) pop(saved[k]);
    pop(rbp);
    ret();
    rewrite(frame_at, static_cast<uint64_t>((most_spills_ + 1) * kVectorBytes), 4);
  }

  /// While elements are left (whole: while all of an iteration's are).
  void loop(const Body& b, bool whole) {
    Label top, end;
    align(32);
    L(top);
    if (whole) {
      lea(rax, ptr[rcx + b.copies * kVectorLanes]);
      cmp(rax, rdx);
      jg(end, T_NEAR);
    } else {
      cmp(rcx, rdx);
      jge(end, T_NEAR);
    }
    iteration(b, false);
    add(rcx, b.copies * kVectorLanes);
    jmp(top, T_NEAR);
    L(end);
  }

  void loop_exactly() {
    loop(main_, true);
    if (main_.copies > 1) loop(single_, true);
    Label end;
    cmp(rcx, rdx);
    jge(end, T_NEAR);
    mov(eax, edx);
    sub(eax, ecx);
    mov(esi, -1);  // streaming code takes whole vectors and never comes here
    bzhi(esi, esi, eax);
    kmovw(Opmask(kTailMask), esi);
    iteration(single_, true);
    L(end);
  }

  const Program& program_;
  const std::vector<Value>& values_;
  const bool streaming_;
  std::vector<char> live_;
  std::vector<uint32_t> constants_;
  std::vector<int> constant_at_;
  int one_ = 0, round_half_ = 0, quiet_ = 0;
  Body single_, main_;
  int spare_ = 0;
  const std::array<Reg64, 8> pointers_ = {rbx, r8, r9, r10, r12, r13, r14, r15};
  std::vector<int> pointed_;  // slots
  std::vector<int> hoisted_;  // values

  // Of the iteration that is written.
  const Body* current_ = nullptr;
  int copies_ = 1;
  std::vector<Place> places_;
  File files_[2];
  int spills_ = 0, most_spills_ = 0;
};

class Assembled final : public Code512 {
 public:
  explicit Assembled(Program program) : program_(std::move(program)), code_(program_, false) {
    plain_ = code_.getCode<Function>();
  }

  void run_streaming(char* const* slots, char* const* ahead, int64_t n) const override {
    std::call_once(once_, [&] {
      try {
        streaming_code_ = std::make_unique<Assembler>(program_, true);
      } catch (const Xbyak::Error&) {  // no more executable memory: slower, not wrong
      }
    });
    if (streaming_code_)
      streaming_code_->getCode<Function>()(slots, ahead, n);
    else
      run(slots, n);
  }

 private:
  const Program program_;
  Assembler code_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<Assembler> streaming_code_;  // few programs ever have results that large
};

}  // namespace

namespace {
std::string_view wanted() {
  static const char* const setting = std::getenv("PLAIT_JIT");
  return setting ? setting : "";
}
}  // namespace

bool available() {
  static const bool yes = active_target() == Target::avx512 && wanted() != "never";
  return yes;
}
bool always() {
  static const bool yes = wanted() == "always";
  return yes;
}

std::shared_ptr<const Code512> assemble(Program program) {
  try {
    return std::make_shared<Assembled>(std::move(program));
  } catch (const Xbyak::Error& e) {
    if (int(e) == ERR_CANT_PROTECT || int(e) == ERR_CANT_ALLOC) return nullptr;
    throw InternalError(std::string("JIT: ") + e.what());
  }
}

}  // namespace plait::cpu::jit
