#include "backends/cpu/jit/assemble.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/jit/registers.h"
#include "base/once.h"
#include "plait/error.h"

namespace plait::cpu::jit {
namespace {

using namespace Xbyak;
using Code = jit::Code;

class Assembler : public Registers {
 public:
  Assembler(const Program& program, bool streaming) : Registers(program), streaming_(streaming) {
    generate();
    readyRE();
  }

 private:
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
        if (k != mem && ends(in[k], at)) over = k;
    if (over < 0) {
      // The copy must not be one of the operands' registers, which stay pinned until it is made.
      const int fresh = free_vector();
      const int from = mem == 0 || twice ? 0 : (mem == 1 ? 2 : 0);
      vmovaps(Zmm(fresh), Zmm(reg[from]));
      fuse(from, fresh, reg, mem, in);
      finish(number, in, at);
      hold(number, fresh);
    } else {
      const int to = reg[over];
      fuse(over, to, reg, mem, in);
      finish(number, in, at);
      hold(number, to);
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
        const int t = free_vector();
        vcvtps2ph(Ymm(t), Zmm(reg), 8);
        store_half(s.slot, copy, t, past);
        break;
      }
      case DType::bfloat16: {
        const int t = free_vector();
        if (!holds_bf16(s.value)) {
          // To nearest even; a carry into the exponent is what rounding up means. NaN stays NaN.
          const Opmask nan(free_mask());
          vpsrld(Zmm(t), Zmm(reg), 16);
          vpandd(Zmm(t), Zmm(t), zword_b[r11 + 4 * needs_.one]);
          vpaddd(Zmm(t), Zmm(t), Zmm(reg));
          vpaddd(Zmm(t), Zmm(t), zword_b[r11 + 4 * needs_.round_half]);
          vcmpps(nan, Zmm(reg), Zmm(reg), 3);
          vpord(Zmm(t) | nan, Zmm(reg), zword_b[r11 + 4 * needs_.quiet]);
          vpsrld(Zmm(t), Zmm(t), 16);
        } else {
          vpsrld(Zmm(t), Zmm(reg), 16);
        }
        vpmovdw(Ymm(t), Zmm(t));
        store_half(s.slot, copy, t, past);
        break;
      }
      default: {  // bool
        const int t = free_vector();
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
    begin(b);
    if (streaming_ && program_.looks_ahead) prefetch();
    for (size_t p = 0; p < b.order.size(); ++p)
      for (int copy = 0; copy < copies_; ++copy) emit(b.order[p] * copies_ + copy, static_cast<int>(p));
    for (int copy = 0; copy < copies_; ++copy)
      for (size_t k = 0; k < program_.reduces.size(); ++k) reduce(program_.reduces[k], accumulator(k), copy, masked);
    for (int copy = 0; copy < copies_; ++copy) {
      for (const auto& s : program_.stores) store(s, copy);
    }
  }
  /// Brings the cache lines of `ahead` that belong to this iteration closer.
  void prefetch() {
    for (size_t i = 0; i < values_.size(); ++i) {
      const Value& v = values_[i];
      if (!needs_.live[i] || v.code >= Code::uniform) continue;
      const int width = v.code == Code::load_f32 ? 4 : v.code == Code::load_bool ? 1 : 2;
      mov(rax, ptr[rsi + 8 * static_cast<int>(v.bits)]);
      for (int copy = 0; copy < copies_; copy += 4 / width)
        prefetcht1(ptr[rax + rcx * width + copy * width * kVectorLanes]);
    }
  }

  void generate() {
    const Reg64 saved[] = {rbx, r12, r13, r14, r15};
    push(rbp);
    mov(rbp, rsp);
    for (const Reg64& r : saved) push(r);
    sub(rsp, 0x7fffff);  // the size of the frame comes later
    const size_t frame_at = getSize() - 4;
    and_(rsp, -kVectorBytes);
    mov(r11, reinterpret_cast<uint64_t>(needs_.constants.data()));
    for (size_t k = 0; k < needs_.pointed.size(); ++k) mov(pointers_[k], ptr[rdi + 8 * needs_.pointed[k]]);
    for (size_t k = 0; k < needs_.hoisted.size(); ++k) {
      const Value& v = values_[needs_.hoisted[k]];
      const Zmm to(hoisted_reg(k));
      if (v.code == Code::constant)
        vbroadcastss(to, dword[r11 + 4 * needs_.constant_at[needs_.hoisted[k]]]);
      else
        vbroadcastss(to, dword[pointer(static_cast<int>(v.bits))]);
    }
    for (size_t k = 0; k < program_.reduces.size(); ++k) {
      mov(rax, ptr[rdi + 8 * program_.reduces[k].slot]);
      vmovups(Zmm(accumulator(k)), zword[rax]);
    }
    xor_(ecx, ecx);
    if (program_.reduces.empty())
      loop(needs_.main, false);
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
    rewrite(frame_at, static_cast<uint64_t>((most_spills() + 1) * kVectorBytes), 4);
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
    loop(needs_.main, true);
    if (needs_.main.copies > 1) loop(needs_.single, true);
    Label end;
    cmp(rcx, rdx);
    jge(end, T_NEAR);
    mov(eax, edx);
    sub(eax, ecx);
    mov(esi, -1);  // streaming code takes whole vectors and never comes here
    bzhi(esi, esi, eax);
    kmovw(Opmask(kTailMask), esi);
    iteration(needs_.single, true);
    L(end);
  }

  const bool streaming_;
};

class Assembled final : public Code512 {
 public:
  explicit Assembled(Program program) : program_(std::move(program)), code_(program_, false) {
    plain_ = code_.getCode<Function>();
  }

  void run_streaming(char* const* slots, char* const* ahead, int64_t n) const override {
    once_.run([&] {
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
  mutable Once once_;
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
