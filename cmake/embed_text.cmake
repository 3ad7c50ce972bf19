# cmake -DOUT=file.cpp -DROOT=dir -DTEXTS=a;b -P embed_text.cmake: files under ROOT as strings of C++.
set(out "// Made by cmake/embed_text.cmake.\n#include \"backends/cuda/regions/build.h\"\n\nnamespace plait::cuda {\n")
string(APPEND out "const std::vector<Header>& device_headers() {\n  static const std::vector<Header> headers = {\n")
foreach(text IN LISTS TEXTS)
  file(READ "${ROOT}/${text}" content)
  string(APPEND out "      {\"${text}\", R\"PLAIT(${content})PLAIT\"},\n")
endforeach()
string(APPEND out "  };\n  return headers;\n}\n}  // namespace plait::cuda\n")
file(WRITE "${OUT}" "${out}")
