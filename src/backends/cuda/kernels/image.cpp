#include "backends/cuda/kernels/image.h"

#include <elf.h>

#include <cstdint>
#include <cstring>

namespace plait::cuda {
namespace {

bool holds(std::string_view image, uint64_t at, uint64_t bytes) {
  return at <= image.size() && bytes <= image.size() - at;
}

/// Into `to`, where the image has all of it.
template <class T>
bool read(std::string_view image, uint64_t at, T& to) {
  if (!holds(image, at, sizeof to)) return false;
  std::memcpy(&to, image.data() + at, sizeof to);
  return true;
}

const char* missing_of_cubin(std::string_view image) {
  Elf64_Ehdr head;
  if (!read(image, 0, head)) return "its heading";
  if (head.e_ident[EI_CLASS] != ELFCLASS64) return "a heading of 64 bits";
  if (head.e_shoff != 0 && head.e_shentsize < sizeof(Elf64_Shdr)) return "its table of sections";
  uint64_t sections = head.e_shoff == 0 ? 0 : head.e_shnum;
  for (uint64_t i = 0; i < sections || (i == 0 && head.e_shoff != 0); ++i) {
    Elf64_Shdr section;
    const uint64_t at = i * head.e_shentsize;
    if (head.e_shoff > image.size() || !read(image, head.e_shoff + at, section)) return "its table of sections";
    if (i == 0 && sections == 0) sections = section.sh_size;  // where 16 bits do not hold how many there are
    if (section.sh_type != SHT_NOBITS && i > 0 && !holds(image, section.sh_offset, section.sh_size)) return "a section";
  }
  for (uint64_t i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (head.e_phoff > image.size() || !read(image, head.e_phoff + i * head.e_phentsize, segment))
      return "its table of segments";
    if (!holds(image, segment.p_offset, segment.p_filesz)) return "a segment";
  }
  return nullptr;
}

const char* missing_of_fatbin(std::string_view image) {
  struct Head {
    uint32_t magic;
    uint16_t version, bytes;
    uint64_t behind;
  } head;
  if (!read(image, 0, head)) return "its heading";
  return holds(image, head.bytes, head.behind) ? nullptr : "its end";
}

}  // namespace

const char* missing_part(std::string_view image) {
  if (image.starts_with(ELFMAG)) return missing_of_cubin(image);
  if (image.starts_with("\x50\xED\x55\xBA")) return missing_of_fatbin(image);
  return nullptr;
}

}  // namespace plait::cuda
