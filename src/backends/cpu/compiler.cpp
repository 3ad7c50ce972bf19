#include "backends/cpu/compiler.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <system_error>
#include <vector>

#include "backends/custom_kernel.h"
#include "backends/disk_cache.h"
#include "base/fork.h"
#include "base/interrupt.h"
#include "plait/error.h"
#include "plait/version.h"

extern char** environ;

namespace plait::cpu {
namespace {

namespace fs = std::filesystem;

// Products and sums stay apart, as everywhere in plait: std::fma joins them where it is written.
constexpr const char* kOptions[] = {
    "-std=c++20", "-O3", "-march=native", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-w",
    "-x",         "c++"};

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

void write_file(const std::string& what, const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file)
    throw DeviceError({.op = what,
                       .got = path.string() + ", which cannot be written: " + std::strerror(errno),
                       .accepts = "room for temporary files",
                       .hint = "TMPDIR names another place"});
}

/// The program's path, or "" where there is none.
std::string found_on_path(const std::string& program) {
  if (program.find('/') != std::string::npos) return ::access(program.c_str(), X_OK) == 0 ? program : "";
  const char* const path = std::getenv("PATH");
  std::istringstream directories(path ? path : "/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    const std::string candidate = (directory.empty() ? "." : directory) + "/" + program;
    struct stat status{};
    if (::stat(candidate.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(candidate.c_str(), X_OK) == 0)
      return candidate;
  }
  return "";
}

std::string compiler(const std::string& what) {
  const char* const set = std::getenv("PLAIT_CXX");
  const std::vector<std::string> wanted =
      set && *set ? std::vector<std::string>{set} : std::vector<std::string>{"c++", "g++", "clang++"};
  for (const std::string& program : wanted)
    if (std::string path = found_on_path(program); !path.empty()) return path;
  throw DeviceError(
      {.op = what,
       .got = set && *set ? std::string(set) + ", as PLAIT_CXX says, which is not there" : "no C++ compiler",
       .accepts = "one that knows C++20: c++, g++ or clang++ on the PATH, or the one PLAIT_CXX names",
       .hint = "apt install g++"});
}

/// What machine code depends on beside the text: the compiler, and the instructions of this machine.
Key128 key_of(const std::string& text, const std::string& compiler) {
  Hasher hasher;
  hasher.add(text).add(PLAIT_VERSION).add(compiler);
  for (const char* option : kOptions) hasher.add(option);
  struct stat status{};
  if (::stat(compiler.c_str(), &status) == 0)
    hasher.add(static_cast<int64_t>(status.st_size)).add(static_cast<int64_t>(status.st_mtim.tv_sec));
  static const std::string& machine = *new std::string([] {
    std::ifstream file("/proc/cpuinfo");
    std::string all;
    for (std::string line; std::getline(file, line) && !line.empty();)  // of the first processor
      for (const char* about : {"model name", "flags", "Features", "CPU implementer", "CPU part"})
        if (line.starts_with(about)) all += line + "\n";
    return all;
  }());  // leaked: threads may ask while the process ends
  return hasher.add(machine).key();
}

/// A directory that goes with all it holds.
class PrivateDirectory {
 public:
  explicit PrivateDirectory(const std::string& what) {
    std::error_code error;
    std::string name = (fs::temp_directory_path(error) / "plait-XXXXXX").string();
    if (!error && !::mkdtemp(name.data())) error.assign(errno, std::generic_category());
    if (error)
      throw DeviceError({.op = what,
                         .got = "no directory to compile in: " + error.message(),
                         .accepts = "a place for temporary files",
                         .hint = "TMPDIR names another"});
    path = name;
  }
  ~PrivateDirectory() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;

  fs::path path;
};

/// A program and those that it starts, in a group of their own; killed with the scope.
class Child {
 public:
  Child(const std::string& program, const std::vector<std::string>& arguments, const fs::path& directory) {
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    const std::string temporary = "TMPDIR=" + directory.string();  // what a killed compiler leaves goes with the rest
    std::vector<char*> environment{const_cast<char*>(temporary.c_str())};
    for (char** at = environ; *at; ++at)
      if (std::strncmp(*at, "TMPDIR=", 7) != 0) environment.push_back(*at);
    environment.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&how);
    const std::string log = (directory / "log").string();
    ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::posix_spawn_file_actions_adddup2(&files, 1, 2);
    ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP);
    ::posix_spawnattr_setpgroup(&how, 0);
    const int error = ::posix_spawn(&pid_, program.c_str(), &files, &how, argv.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&how);
    if (error != 0)
      throw DeviceError({.op = program, .got = std::strerror(error), .accepts = "a compiler that can be started"});
  }
  ~Child() {
    if (ended_) return;
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// What it ended with, as waitpid says it. Where nobody is told (SIGCHLD is ignored) 0: the caller looks at what it made.
  int status() {
    for (;;) {
      int status = 0;
      const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
      if (ended == pid_ || (ended < 0 && errno != EINTR)) {
        ended_ = true;
        return ended < 0 ? 0 : status;
      }
      poll_interrupt();
      ::usleep(2000);
    }
  }

 private:
  pid_t pid_ = 0;
  bool ended_ = false;
};

/// Of a compiler that did not come to an end, or could not: its source may be fine. Drivers say so of the programs that they start.
bool was_cut_off(int status, const std::string& log) {
  if (WIFSIGNALED(status)) return true;
  for (const char* said :
       {"signal terminated program", "due to signal", "No space left on device", "out of memory allocating"})
    if (log.find(said) != std::string::npos) return true;
  return false;
}

std::string compile(const std::string& what, const std::string& text, const std::string& program) {
  const PrivateDirectory directory(what);
  const fs::path source = directory.path / "kernel.cpp", object = directory.path / "kernel.so";
  write_file(what, source, text);
  std::vector<std::string> arguments(std::begin(kOptions), std::end(kOptions));
  arguments.insert(arguments.end(), {source.string(), "-o", object.string()});
  Child child(program, arguments, directory.path);
  const int status = child.status();
  std::string image = read_file(object);
  if (status == 0 && !image.empty()) return image;
  const std::string log = read_file(directory.path / "log");
  if (was_cut_off(status, log))
    throw DeviceError(
        {.op = what,
         .got = program +
                (WIFSIGNALED(status) ? ", ended by " + std::string(::strsignal(WTERMSIG(status))) : " was cut off") +
                ":\n" + log,
         .accepts = "a compiler that comes to its end",
         .hint = "memory, time or room for temporary files may have run out"});
  throw ArgumentError(
      {.op = what, .got = "source that " + program + " rejects:\n" + log, .accepts = "a body in C++20"});
}

/// Code as a library, from memory: a file could be changed between a look at it and its loading.
void* loaded(const std::string& what, const std::string& image) {
  const auto fail = [&](const std::string& why) {
    throw DeviceError({.op = what,
                       .got = "code that cannot be loaded: " + why,
                       .accepts = "a system that runs code from memory that the process made"});
  };
#ifdef MFD_EXEC
  int file = ::memfd_create("plait-kernel", MFD_CLOEXEC | MFD_EXEC);
  if (file < 0 && errno == EINVAL) file = ::memfd_create("plait-kernel", MFD_CLOEXEC);
#else
  const int file = ::memfd_create("plait-kernel", MFD_CLOEXEC);
#endif
  if (file < 0) fail(std::strerror(errno));
  struct Close {
    int file;
    ~Close() { ::close(file); }
  } close{file};
  for (size_t at = 0; at < image.size();) {
    const ssize_t wrote = ::write(file, image.data() + at, image.size() - at);
    if (wrote < 0 && errno != EINTR) fail(std::strerror(errno));
    if (wrote > 0) at += static_cast<size_t>(wrote);
  }
  // dlopen takes a path that it has seen for the same library, and descriptors come again: each path is spelled its own way.
  static std::atomic<uint64_t> count = 0;
  std::string path = "/proc/self";
  for (uint64_t n = count++; n > 0; n >>= 1) path += n & 1 ? "/./" : "//";
  path += "/fd/" + std::to_string(file);
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) fail(::dlerror());
  return handle;
}

/// Leaked: kernels may run until the process ends.
struct Loaded {
  std::mutex mutex;  // over the table, never while something is compiled
  std::map<Key128, void*> functions;
};
Loaded& all_loaded() {
  static Loaded* const all = new Loaded;
  return *all;
}

[[maybe_unused]] const bool fork_handlers = [] {
  const auto unlock = [] { all_loaded().mutex.unlock(); };
  at_fork(ForkOrder::base, [] { all_loaded().mutex.lock(); }, unlock, unlock);
  return true;
}();

}  // namespace

void* compiled_function(const std::string& what, const std::string& text, const std::string& symbol) {
  const Key128 known = Hasher().add(text).key();
  {
    const std::lock_guard lock(all_loaded().mutex);
    const auto at = all_loaded().functions.find(known);
    if (at != all_loaded().functions.end()) return at->second;
  }
  const std::string program = compiler(what);
  const Key128 key = key_of(text, program);
  const bool kept = !includes_files(text);
  std::optional<std::string> image = kept ? cached_image("cpu", key) : std::nullopt;
  const bool is_new_code = !image.has_value();
  if (is_new_code) image = compile(what, text, program);
  void* const library = loaded(what, *image);
  void* const function = ::dlsym(library, symbol.c_str());
  if (!function) {  // macros of a header can do that
    ::dlclose(library);
    throw ArgumentError({.op = what,
                         .got = "source that does not define " + symbol,
                         .accepts = "a header that leaves names beginning with custom_kernel_ alone"});
  }
  if (kept && is_new_code) cache_image("cpu", key, *image);
  const std::lock_guard lock(all_loaded().mutex);
  const auto [at, is_new] = all_loaded().functions.emplace(known, function);
  if (!is_new) ::dlclose(library);  // another thread was faster
  return at->second;
}

}  // namespace plait::cpu
