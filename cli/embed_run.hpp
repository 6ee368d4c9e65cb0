// `stella embed`: what was asked for, and a run of it. embed.cpp has the options, embed_parts.cpp what --parts adds.
#pragma once

#include "cli/output.hpp"
#include "cli/parts.hpp"
#include "cli/rows.hpp"
#include "cli/text_options.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella::cli {

struct EmbedCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  TextOptions texts{};
  PromptOptions prompt{};
  std::string output = "-";
  std::optional<std::string> format{};
  std::optional<std::string> meta{};
  std::optional<std::string> dimensions{};
  bool no_normalize = false;
  std::string on_long = "truncate";
  std::optional<std::size_t> parts{};
  bool resume = false;

  RowFormat row_format() const;
  /// Whether the output is a folder of parts.
  bool in_parts() const noexcept { return parts || resume; }
};

const char* name_of(RowFormat format);

/// One run: what was asked for, checked before anything is loaded, and what comes of it.
class EmbedRun {
 public:
  EmbedRun(const EmbedCommand& command, Session& session);
  void run();

 private:
  void run_whole();
  void check_options();
  void check_files() const;
  /// What the rows are made with, for a manifest.
  Settings settings(const ModelDescription& description) const;
  void run_parts();
  void check_parts() const;
  PartCounts embed_parts(const PartsFolder& folder, const InputPlan& plan, ModelSession& model_session,
                         LoadedStellaModel& model);
  PartCounts embed_part(const PartsFolder& folder, std::size_t part, const PartRange& range, std::uint64_t bytes_left,
                        ModelSession& model_session, LoadedStellaModel& model);
  PartCounts counts() const;
  void open_outputs();
  ModelDescription prepare(ModelSession& model_session);
  void embed(ModelSession& model_session, LoadedStellaModel& model);
  void write(const Chunk& chunk, const std::vector<Embedding>& results);
  /// What became of the rows that were finished before a failure: "; 7 rows were finished before and are in
  /// 'v.npy.partial'".
  std::string keep_rows(bool interrupted);
  void remark_on_task(ModelSession& model_session);
  void write_meta(const ModelDescription& description);

  const EmbedCommand& command_;
  Session& session_;
  RowFormat format_;
  EmbedOptions options_{};
  RowsHeader header_{};
  std::vector<std::string> paths_{};
  std::unique_ptr<TextSource> source_{};
  std::vector<std::unique_ptr<Output>> outputs_{};
  std::unique_ptr<Output> meta_{};
  std::unique_ptr<RowWriter> writer_{};
  std::optional<TextReport> report_{};
  std::size_t limit_ = 0;  ///< Most tokens of a text.
  std::size_t rows_ = 0;   ///< Written.
  std::string prompt_{};   ///< The text before each text.
  bool remark_due_ = false;
  bool as_queries_ = false;
};

}  // namespace stella::cli
