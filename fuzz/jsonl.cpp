// Input of `stella embed --input`: lines and JSON Lines; and the header of a .npy file.
#include "base/text.hpp"
#include "cli/input.hpp"
#include "cli/vectors.hpp"
#include "fuzz.hpp"

#include <stdexcept>

using namespace stella;
using fuzz::check;

namespace {

void read_all(const std::filesystem::path& path, cli::FileSourceOptions options, std::size_t input_size) {
  const std::size_t kept = options.format == cli::InputFormat::jsonl ? options.fields.keep.size() : 0;
  try {
    const auto source = cli::make_file_source(path.string(), std::move(options), [](int, short) {});
    std::size_t total = 0;
    for (bool last = false; !last;) {
      const cli::Chunk chunk = source->read(7, 1000, true);
      last = chunk.last;
      check(chunk.indices.size() == chunk.texts.size(), "every text has a place");
      check(last || !chunk.texts.empty(), "a chunk that may wait has a text");
      check(chunk.end <= input_size, "no more is read than is there");
      for (const std::string& text : chunk.texts) {
        check(!text.empty() && text.size() <= cli::kMaxTextBytes, "texts are neither empty nor too large");
        check(utf8::find_invalid(text) == std::string_view::npos, "texts are UTF-8");
        total += text.size();
      }
      for (const auto& values : chunk.kept) {
        check(values.size() == kept, "every field is kept");
        for (const std::string& value : values) {
          check(value.find('\n') == std::string::npos && !value.empty(), "a kept value is on one line");
        }
      }
      for (const std::size_t index : chunk.indices) fuzz::check_line(printable_line(source->describe(index)));
    }
    check(total <= input_size, "texts are no longer than the input");
  } catch (const cli::Failure& failure) {
    check(failure.status() == cli::kBadInput, "bad input is bad input");
    fuzz::check_line(failure.what());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder kFolder;
  const auto path = kFolder.write("input", fuzz::text_of(data, size));
  for (const bool skip : {false, true}) {
    read_all(path, {.format = cli::InputFormat::lines, .fields = {}, .skip_empty = skip}, size);
    read_all(path,
             {.format = cli::InputFormat::jsonl, .fields = {.text = "text", .keep = {"id", "x"}}, .skip_empty = skip},
             size);
  }
  try {
    const format::NpyHeader header = format::parse_npy_header(fuzz::text_of(data, size));
    check(header.bytes <= size, "a header lies in the file");
    std::size_t values = 0;
    check(!__builtin_mul_overflow(header.rows, header.columns, &values) && values < SIZE_MAX / 8,
          "rows fit in 63 bits");
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
