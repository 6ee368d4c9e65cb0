#include "engine/model_files.hpp"

#include "base/file.hpp"
#include "base/thread_pool.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <functional>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;

/// A path that stays inside the directory it is joined to.
bool is_inside(const std::string& file) {
  const fs::path path(file);
  return !file.empty() && path.is_relative() && file.find('\0') == std::string::npos &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

/// A local directory that lacks a file is no matter of the hub.
std::exception_ptr as_malformed(const std::exception_ptr& not_found) {
  try {
    std::rethrow_exception(not_found);
  } catch (const Error& error) {
    return std::make_exception_ptr(Error(Errc::malformed_file, error.what(), error.context()));
  } catch (...) {
    return std::current_exception();
  }
}

class DirectoryFiles final : public ModelFiles {
 public:
  DirectoryFiles(fs::path directory, ThreadPool& pool)
      : directory_(std::move(directory)), source_(directory_.string()), pool_(pool) {}

  void get(std::string file, std::stop_token stop, Completion<fs::path> done) override {
    pool_.post(
        [directory = directory_, file = std::move(file), stop = std::move(stop), done = std::move(done)]() mutable {
          try {
            done(nullptr, find(directory, file, stop));
          } catch (...) {
            done(std::current_exception(), {});
          }
        });
  }

  void list(std::stop_token stop, Completion<std::vector<std::string>> done) override {
    pool_.post([directory = directory_, stop = std::move(stop), done = std::move(done)]() mutable {
      try {
        done(nullptr, walk(directory, stop));
      } catch (...) {
        done(std::current_exception(), {});
      }
    });
  }

  const std::string& source() const noexcept override { return source_; }
  bool is_local() const noexcept override { return true; }

 private:
  static void check(const std::stop_token& stop) {
    if (stop.stop_requested()) throw Error(Errc::cancelled, "cancelled");
  }

  static fs::path find(const fs::path& directory, const std::string& file, const std::stop_token& stop) {
    check(stop);
    if (!is_inside(file)) throw Error(Errc::invalid_argument, "'" + file + "' is not a path inside a model");
    fs::path path = directory / file;
    std::error_code error;
    const fs::file_type type = fs::status(path, error).type();
    if (type == fs::file_type::regular) return path;
    // A FIFO, a device or a folder of that name is not waited for, and not taken for a file that is missing.
    if (type != fs::file_type::not_found) open_regular(path);
    throw Error(Errc::entry_not_found,
                "'" + directory.string() + "' has no file '" + file + "'; is it a whole model directory?",
                {.file = path.string()});
  }

  /// A model's own folders are one level deep; whatever else lies there is not walked through, nor what may not be
  /// read.
  static void add_folder(const fs::path& folder, const std::string& name, std::vector<std::string>& files) {
    if (::access(folder.c_str(), R_OK | X_OK) != 0) return;
    for (const std::string& inner : names_in(folder)) {
      std::error_code ignored;
      if (fs::is_regular_file(folder / inner, ignored)) files.push_back(name + "/" + inner);
    }
  }

  static std::vector<std::string> walk(const fs::path& directory, const std::stop_token& stop) {
    check(stop);
    std::vector<std::string> files;
    for (const std::string& name : names_in(directory)) {
      std::error_code ignored;
      const fs::path path = directory / name;
      const fs::file_status status = fs::status(path, ignored);
      if (fs::is_regular_file(status)) files.push_back(name);
      if (fs::is_directory(status)) add_folder(path, name, files);
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  const fs::path directory_;
  const std::string source_;
  ThreadPool& pool_;
};

}  // namespace

// A directory is as it is.
void ModelFiles::mend(std::stop_token /*stop*/, Completion<bool> done) {
  done(nullptr, false);
}

bool may_be_damage(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    const Errc code = known.errc();
    return code == Errc::malformed_file || code == Errc::missing_tensor || code == Errc::unsupported_model ||
           code == Errc::limit_exceeded || code == Errc::integrity || code == Errc::invalid_utf8;
  } catch (...) {
    return false;
  }
}

bool is_entry_not_found(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.errc() == Errc::entry_not_found;
  } catch (...) {
    return false;
  }
}

AwaitedFile::AwaitedFile(ModelFiles& files, std::string name, Need need, const Together* together)
    : name_(std::move(name)), path_([&](std::stop_token stop, Completion<fs::path> done) {
        std::function<void(const std::exception_ptr&)> failed;
        if (together != nullptr) failed = together->failure();
        files.get(name_, std::move(stop),
                  [need, is_local = files.is_local(), failed = std::move(failed), done = std::move(done)](
                      std::exception_ptr error, fs::path path) mutable {
                    if (error && is_entry_not_found(error)) {
                      if (need == Need::optional)
                        error = nullptr;
                      else if (is_local)
                        error = as_malformed(error);
                    }
                    if (error && failed) failed(error);
                    done(std::move(error), std::move(path));
                  });
      }) {}

std::shared_ptr<ModelFiles> directory_files(const fs::path& directory, ThreadPool& pool) {
  return std::make_shared<DirectoryFiles>(directory, pool);
}

}  // namespace stella::engine
