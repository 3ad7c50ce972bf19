// load, save and their kin: files by name, and Python's file objects.
#include <nanobind/stl/map.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "bind.h"
#include "paths.h"
#include "plait/io.h"

namespace plait::python {
namespace {

constexpr uint64_t kPiece = uint64_t{8} << 20;

std::string kind_of(nb::handle o) { return Py_TYPE(o.ptr())->tp_name; }

[[noreturn]] void reject_file(const char* op, nb::handle file, const char* methods) {
  throw ArgumentError({.op = op,
                       .got = "a file of type " + kind_of(file),
                       .accepts = std::string("the name of a file, or an object with the methods ") + methods});
}

std::string name_of_object(nb::handle file) {
  const nb::object name = nb::getattr(file, "name", nb::none());
  return PyUnicode_Check(name.ptr()) ? nb::cast<std::string>(nb::str(name)) : "<" + kind_of(file) + ">";
}

// ---- file objects ---------------------------------------------------------------------------------------------------

/// A Python file from where it stands. Nothing keeps a pointer into our memory: bytes objects are copied.
class ObjectSource final : public ByteSource {
 public:
  explicit ObjectSource(nb::object file) : file_(std::move(file)), name_(name_of_object(file_)) {
    begin_ = nb::cast<uint64_t>(file_.attr("tell")());
    file_.attr("seek")(0, 2);
    const auto end = nb::cast<uint64_t>(file_.attr("tell")());
    file_.attr("seek")(begin_);
    size_ = std::max(begin_, end) - begin_;
  }
  std::string name() const override { return name_; }
  uint64_t size() const override { return size_; }
  void read(uint64_t at, void* to, uint64_t bytes) const override {
    const nb::gil_scoped_acquire locked;
    file_.attr("seek")(begin_ + at);
    auto* next = static_cast<char*>(to);
    while (bytes > 0) {
      const uint64_t asked = std::min(bytes, kPiece);
      const nb::object got = file_.attr("read")(asked);
      if (!PyBytes_Check(got.ptr()))
        throw ArgumentTypeError({.op = "load",
                                 .got = name_ + ", which gives " + kind_of(got) + " when it is read",
                                 .accepts = "files that give bytes: opened in binary mode"});
      const auto count = static_cast<uint64_t>(PyBytes_GET_SIZE(got.ptr()));
      if (count == 0 || count > asked)
        throw FileError(
            {.op = "load",
             .got = name_ + ": " + std::to_string(count) + " bytes where " + std::to_string(asked) + " were asked for",
             .accepts = "files as long as their end says"});
      std::memcpy(next, PyBytes_AS_STRING(got.ptr()), count);
      next += count;
      bytes -= count;
    }
  }
  /// Puts the file's position behind all that belongs to what was read.
  void go_to_end() const { file_.attr("seek")(begin_ + size_); }

 private:
  nb::object file_;
  std::string name_;
  uint64_t begin_ = 0, size_ = 0;
};

class ObjectSink final : public ByteSink {
 public:
  ObjectSink(const char* op, nb::object file) : op_(op), file_(std::move(file)) {}
  void write(const void* data, uint64_t bytes) override {
    const nb::gil_scoped_acquire locked;
    const auto* next = static_cast<const char*>(data);
    while (bytes > 0) {
      const uint64_t piece = std::min(bytes, kPiece);
      const nb::object wrote = file_.attr("write")(nb::bytes(next, piece));
      uint64_t count = piece;  // None: all, as objects that say nothing have it
      if (!wrote.is_none() && (!nb::try_cast(wrote, count) || count == 0 || count > piece))
        throw FileError({.op = op_,
                         .got = "a file that wrote " + nb::cast<std::string>(nb::str(wrote)) + " of " +
                                std::to_string(piece) + " bytes",
                         .accepts = "files that write at least one, or raise"});
      next += count;
      bytes -= count;
    }
  }

 private:
  const char* op_;
  nb::object file_;
};

// ---- arguments ------------------------------------------------------------------------------------------------------

std::string utf8_of(nb::handle text) {
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (data == nullptr) throw nb::python_error();
  return {data, static_cast<size_t>(size)};
}

const Array& array_of(const char* op, const std::string& name, nb::handle value) {
  if (!is_array(value.ptr()))
    throw FileError({.op = op,
                     .got = name + " of type " + kind_of(value),
                     .accepts = "arrays",
                     .hint = "plait.utils.tree_flatten(tree, destination={}) gives the arrays of a tree names"});
  return value_of(value.ptr());
}

NamedArrays arrays_of_dict(const char* op, const nb::dict& arrays) {
  NamedArrays out;
  for (auto [key, value] : arrays) {
    if (!PyUnicode_Check(key.ptr()))
      throw ArgumentError({.op = op, .got = "a name of type " + kind_of(key), .accepts = "names that are texts"});
    const std::string name = utf8_of(key);
    out[name] = array_of(op, name, value);
  }
  return out;
}

/// Of a call whose arguments by position begin with the file.
NamedArrays arrays_of_call(const char* op, const nb::args& args, const nb::kwargs& kwargs) {
  NamedArrays out = arrays_of_dict(op, kwargs);
  for (size_t i = 1; i < args.size(); ++i) {
    const std::string name = "arr_" + std::to_string(i - 1);
    if (out.contains(name))
      throw ArgumentError({.op = op,
                           .got = "an array without a name and one called " + name,
                           .accepts = "other names: arr_0, arr_1, ... are those of arrays without one"});
    out[name] = array_of(op, name, args[i]);
  }
  return out;
}

TextMetadata texts_of(const nb::object& metadata) {
  TextMetadata out;
  if (metadata.is_none()) return out;
  for (auto [key, value] : nb::cast<nb::dict>(metadata)) {
    if (!PyUnicode_Check(key.ptr()) || !PyUnicode_Check(value.ptr()))
      throw ArgumentError({.op = "save_safetensors",
                           .got = "metadata with " + kind_of(key) + " and " + kind_of(value),
                           .accepts = "a dict of texts by texts"});
    out[utf8_of(key)] = utf8_of(value);
  }
  return out;
}

MetadataValue gguf_value(const std::string& key, nb::handle value) {
  if (PyUnicode_Check(value.ptr())) return utf8_of(value);
  if (is_array(value.ptr())) return value_of(value.ptr());
  std::vector<std::string> texts;
  bool fits = PyList_Check(value.ptr()) || PyTuple_Check(value.ptr());
  if (fits)
    for (nb::handle text : nb::borrow<nb::sequence>(value)) {
      fits = fits && PyUnicode_Check(text.ptr());
      if (fits) texts.push_back(utf8_of(text));
    }
  if (!fits)
    throw FileError({.op = "save_gguf",
                     .got = "the value " + key + " of type " + kind_of(value),
                     .accepts = "a text, a list of texts, or an array of at most one axis",
                     .hint = "array(3) makes an array of a number"});
  return texts;
}

Metadata gguf_metadata(const nb::dict& metadata) {
  Metadata out;
  for (auto [key, value] : metadata) {
    if (!PyUnicode_Check(key.ptr()))
      throw ArgumentError(
          {.op = "save_gguf", .got = "a key of type " + kind_of(key), .accepts = "keys that are texts"});
    const std::string name = utf8_of(key);
    out.emplace(name, gguf_value(name, value));
  }
  return out;
}

// ---- calls ----------------------------------------------------------------------------------------------------------

/// Calls write(path) or write(sink), without Python's lock.
template <class Write>
void write_to(const char* op, const nb::object& file, Write write) {
  if (is_path(file)) {
    const std::string path = path_of(file);
    const nb::gil_scoped_release unlocked;
    write(path);
    return;
  }
  if (!nb::hasattr(file, "write")) reject_file(op, file, "write");
  ObjectSink sink(op, file);
  const nb::gil_scoped_release unlocked;
  write(static_cast<ByteSink&>(sink));
}

nb::object python_value(const MetadataValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text_of(*text);
  if (const auto* array = std::get_if<Array>(&value)) return nb::cast(*array);
  nb::list out;
  for (const std::string& text : std::get<std::vector<std::string>>(value)) out.append(text_of(text));
  return out;
}

Loaded loaded(const nb::object& file, std::optional<FileFormat> format) {
  if (is_path(file)) {
    const std::string path = path_of(file);
    const nb::gil_scoped_release unlocked;
    return plait::load(path, format);
  }
  const auto source = std::make_shared<ObjectSource>(file);
  Loaded out;
  {
    const nb::gil_scoped_release unlocked;
    out = plait::load(source, *format);
  }
  if (*format != FileFormat::npy) source->go_to_end();
  return out;
}

FileFormat format_of(const nb::object& file) {
  if (is_path(file)) return file_format_of_path(path_of(file));
  for (const char* method : {"read", "seek", "tell"})
    if (!nb::hasattr(file, method)) reject_file("load", file, "read, seek and tell");
  const nb::object name = nb::getattr(file, "name", nb::none());
  if (!is_path(name))
    throw ArgumentError({.op = "load",
                         .got = "a " + kind_of(file) + " without a name, and no format",
                         .accepts = "format='npy', 'npz', 'safetensors' or 'gguf'"});
  return file_format_of_path(path_of(name));
}

nb::object load_any(const nb::object& file, const std::optional<std::string>& format, bool return_metadata,
                    StreamArg stream) {
  const StreamGuard on(stream);
  const FileFormat chosen = format ? file_format(*format) : format_of(file);
  if (return_metadata && (chosen == FileFormat::npy || chosen == FileFormat::npz))
    throw ArgumentError({.op = "load",
                         .got = "return_metadata=True for a file that has none",
                         .accepts = "the formats safetensors and gguf"});
  if (format && !is_path(file))
    for (const char* method : {"read", "seek", "tell"})
      if (!nb::hasattr(file, method)) reject_file("load", file, "read, seek and tell");
  const Loaded all = loaded(file, chosen);
  if (all.array) return nb::cast(*all.array);
  nb::dict arrays, metadata;
  for (const auto& [name, array] : all.arrays) arrays[text_of(name)] = nb::cast(array);
  if (!return_metadata) return arrays;
  for (const auto& [key, value] : all.metadata) metadata[text_of(key)] = python_value(value);
  return nb::make_tuple(arrays, metadata);
}

// Where the file comes by position, `file` is a name of an array as any other: the parameter of a model may be called so.
void save_named(const char* op, bool deflated, const nb::args& args, const nb::kwargs& kwargs) {
  nb::object file;
  if (args.size() > 0) {
    file = args[0];
  } else if (kwargs.contains("file")) {
    file = kwargs.attr("pop")("file");
  } else {
    throw ArgumentTypeError(
        {.op = op, .got = "no file", .accepts = "the name of a file, or an object with the method write, first"});
  }
  const NamedArrays arrays = arrays_of_call(op, args, kwargs);
  write_to(op, file, [&](auto& to) { deflated ? plait::savez_compressed(to, arrays) : plait::savez(to, arrays); });
}

void save_gguf(const nb::object& file, const nb::dict& arrays, const nb::dict& metadata) {
  const NamedArrays named = arrays_of_dict("save_gguf", arrays);
  const Metadata values = gguf_metadata(metadata);
  write_to("save_gguf", file, [&](auto& to) { plait::save_gguf(to, named, values); });
}

}  // namespace

void bind_files(nb::module_& m) {
  m.def(
      "load", load_any, nb::arg(), nb::arg("format") = nb::none(), nb::arg("return_metadata") = false, nb::kw_only(),
      nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def load(file: file | str | pathlib.Path, /, format: str | None = None, return_metadata: bool = False, "
          "*, stream: StreamOrDevice = None) -> array | dict[str, array] | tuple[dict[str, array], dict[str, Any]]"),
      "Reads a file: the array of npy, a dict of the arrays of npz, safetensors and gguf.\n\n"
      "file: its name, or an object with read, seek and tell, which is read from where it stands. format: 'npy', 'npz',\n"
      "'safetensors' or 'gguf'; by default what the ending of the name says. return_metadata: gives (arrays, metadata),\n"
      "for safetensors and gguf. Elements of the latter two stay in a named file until they are needed. Quantized\n"
      "tensors of gguf become packed words, scales and biases, or float16. stream: where what depends on them is computed.\n\n"
      "Errors: FileError (a RuntimeError and ValueError) for a file that cannot be read, is damaged, or was changed before\n"
      "its elements were needed; ValueError for an unknown format, elements that no array has, and metadata where there is\n"
      "none.");
  m.def(
      "save",
      [](const nb::object& file, const Array& arr) { write_to("save", file, [&](auto& to) { plait::save(to, arr); }); },
      nb::arg("file"), nb::arg("arr"), nb::sig("def save(file: file | str | pathlib.Path, arr: array) -> None"),
      "Writes one array in NumPy's npy format.\n\n"
      "file: its name, to which .npy is added where it does not end so, or an object with write. All dtypes; bfloat16,\n"
      "which NumPy has not, as raw elements of two bytes (V2). An old file of that name is replaced when the new one is\n"
      "complete, and keeps its permissions.\n\n"
      "Errors: FileError (a RuntimeError and ValueError) when it cannot be written; the old file is there then. What\n"
      "evaluation raises.");
  m.def(
      "savez", [](const nb::args& args, const nb::kwargs& kwargs) { save_named("savez", false, args, kwargs); },
      nb::sig("def savez(file: file | str | pathlib.Path, *args, **kwargs)"),
      "Writes arrays as an npz file: a zip archive of npy files, not compressed.\n\n"
      "Arrays given by position are called arr_0, arr_1, ...; others as their keywords, also file= behind a file that is\n"
      "given by position. file: as in save, with .npz.\n\n"
      "Errors: as save; FileError for what is no array; ValueError for a keyword arr_i beside an array in position i.");
  m.def(
      "savez_compressed",
      [](const nb::args& args, const nb::kwargs& kwargs) { save_named("savez_compressed", true, args, kwargs); },
      nb::sig("def savez_compressed(file: file | str | pathlib.Path, *args, **kwargs)"),
      "As savez, compressed.\n\nErrors: as savez.");
  m.def(
      "save_safetensors",
      [](const nb::object& file, const nb::dict& arrays, const nb::object& metadata) {
        const NamedArrays named = arrays_of_dict("save_safetensors", arrays);
        const TextMetadata texts = texts_of(metadata);
        write_to("save_safetensors", file, [&](auto& to) { plait::save_safetensors(to, named, texts); });
      },
      nb::arg("file"), nb::arg("arrays"), nb::arg("metadata") = nb::none(),
      nb::sig(
          "def save_safetensors(file: file | str | pathlib.Path, arrays: dict[str, array], metadata: dict[str, str] | "
          "None = None)"),
      "Writes named arrays, and texts beside them, in the safetensors format. All dtypes.\n\n"
      "file: as in save, with .safetensors.\n\n"
      "Errors: as save; FileError for what is no array; ValueError for metadata that are no texts.");
  m.def(
      "save_gguf", save_gguf, nb::arg("file"), nb::arg("arrays"), nb::arg("metadata"),
      nb::sig(
          "def save_gguf(file: file | str | pathlib.Path, arrays: dict[str, array], metadata: dict[str, array | str "
          "| list[str]])"),
      "Writes named arrays and metadata in the GGUF format, version 3.\n\n"
      "arrays: float32, float16, int8, int16 or int32. metadata: texts, lists of texts, arrays of at most one axis; {} or\n"
      "nothing for none. file: as in save, with .gguf.\n\n"
      "Errors: as save; FileError for an array of another dtype, and for a value of another kind; ValueError for\n"
      "metadata in 16-bit floats, float64 or complex64.");
  m.def(
      "save_gguf", [](const nb::object& file, const nb::dict& arrays) { save_gguf(file, arrays, {}); }, nb::arg("file"),
      nb::arg("arrays"), nb::sig("def save_gguf(file: file | str | pathlib.Path, arrays: dict[str, array])"));
}

}  // namespace plait::python
