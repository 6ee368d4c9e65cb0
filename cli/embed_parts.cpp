// `stella embed --parts`: one run over the parts that are not finished yet.
#include "cli/embed_run.hpp"
#include "cli/stream.hpp"
#include "cli/text.hpp"
#include "format/json_text.hpp"
#include "format/weights.hpp"

#include <unistd.h>
#include <utility>

namespace stella::cli {
namespace {

constexpr std::size_t kMaxParts = 99'999;

template <class T>
std::string json_of(const T& value) {
  return format::JsonText().value(value).take();
}

}  // namespace

void EmbedRun::check_parts() const {
  const auto& input = command_.texts.input;
  if (!input || *input == "-" || command_.output == "-") {
    throw Failure(kBadInput, "--parts and --resume need --input FILE and --output FOLDER");
  }
  if (command_.meta) throw Failure(kBadInput, "--meta with --parts: the folder's manifest.json says the same");
  if (format_ == RowFormat::json) {
    throw Failure(kBadInput, "--format json with --parts; choose one of: jsonl, npy, f32");
  }
  if (command_.parts && *command_.parts > kMaxParts) {
    throw Failure(kBadInput, "--parts " + std::to_string(*command_.parts) + "; at most 99999 are possible");
  }
}

Settings EmbedRun::settings(const ModelDescription& description) const {
  const FileSourceOptions input = file_options(command_.texts);
  return {{"model", json_of(header_.model)},
          {"commit", description.commit.empty() ? "null" : json_of(description.commit)},
          {"weights", json_of(format::weights_of(header_.model, description.commit, description.directory))},
          {"task", json_of(header_.task)},
          {"prompt", json_of(prompt_)},
          {"dimensions", json_of(header_.dimensions)},
          {"normalized", json_of(options_.normalize)},
          {"max_length", json_of(limit_)},
          {"on_long", json_of(command_.on_long)},
          {"format", json_of(name_of(format_))},
          {"keep", json_of(header_.keep)},
          {"input_format", json_of(input.format == InputFormat::jsonl ? "jsonl" : "lines")},
          {"field", json_of(input.fields.text)},
          {"skip_empty", json_of(input.skip_empty)}};
}

void EmbedRun::run_parts() {
  PartsFolder folder(command_.output, waiting(session_));
  const auto& begun = folder.manifest();
  if (begun && !command_.resume) {
    throw Failure(kBadInput,
                  "'" + command_.output + "' holds a run already; go on with --resume, or name another folder");
  }
  if (!begun && !command_.parts) {
    throw Failure(kBadInput,
                  "--resume: nothing was begun in '" + command_.output + "'; say how many parts with --parts N");
  }
  const std::size_t parts = command_.parts.value_or(begun ? begun->parts : 0);
  if (begun && begun->parts != parts) {
    throw Failure(kBadInput, "'" + command_.output + "' was begun with --parts " + std::to_string(begun->parts) +
                                 "; go on with the same, or name another folder");
  }
  const InputPlan plan = plan_parts(*command_.texts.input, parts, waiting(session_));
  Settings input{{"input_bytes", json_of(plan.bytes)}, {"input_sha256", json_of(plan.sha256)}};
  folder.compare(input);

  // Whatever this processor would choose: all parts have the precision of the first.
  CommonOptions common = *command_.common;
  if (common.precision == "auto" && begun) common.precision = begun->text("precision").value_or("auto");
  ModelSession model_session(session_, common);
  const ModelDescription description = prepare(model_session);
  Settings settings = this->settings(description);
  settings.insert(settings.end(), input.begin(), input.end());
  folder.compare(settings);
  LoadedStellaModel model = model_session.load();
  header_.precision = to_string(model.precision());
  settings.emplace_back("precision", json_of(header_.precision));
  folder.compare(settings);
  folder.begin(settings, plan);
  const PartCounts totals = embed_parts(folder, plan, model_session, model);
  folder.complete(settings, plan, totals);
  if (report_) report_->finish(limit_);
  if (totals.rows != 0) remark_on_task(model_session);
}

PartCounts EmbedRun::embed_parts(const PartsFolder& folder, const InputPlan& plan, ModelSession& model_session,
                                 LoadedStellaModel& model) {
  PartCounts totals;
  std::uint64_t bytes_left = 0;
  std::vector<std::size_t> unfinished;
  for (std::size_t i = 0; i < plan.parts.size(); ++i) {
    const PartState state = folder.state_of(i, plan.parts[i]);
    if (!state.damage.empty()) model_session.warn(state.damage + "; its part is embedded again");
    if (state.counts) {
      totals += *state.counts;
      continue;
    }
    unfinished.push_back(i);
    bytes_left += plan.parts[i].bytes;
  }
  std::size_t finished = plan.parts.size() - unfinished.size();
  const auto state = [&] {
    return "; " + with_separators(finished) + " of " + with_separators(plan.parts.size()) +
           " parts are finished, go on with --resume";
  };
  try {
    for (const std::size_t part : unfinished) {
      totals += embed_part(folder, part, plan.parts[part], bytes_left, model_session, model);
      ++finished;
    }
  } catch (const WriteFailure& failure) {
    throw WriteFailure(failure.what() + state());
  } catch (const Interrupted& interrupted) {
    throw Interrupted(interrupted.signal_number(), interrupted.what() + state());
  } catch (const Failure& failure) {
    throw Failure(failure.status(), failure.what() + state());
  } catch (const Error& error) {
    throw Failure(exit_status(error), failure_line(error, command_.common.get()) + state());
  }
  return totals;
}

PartCounts EmbedRun::embed_part(const PartsFolder& folder, std::size_t part, const PartRange& range,
                                std::uint64_t bytes_left, ModelSession& model_session, LoadedStellaModel& model) {
  FileSourceOptions file = file_options(command_.texts);
  file.offset = range.offset;
  file.first = range.first_row;
  file.rows = range.rows;
  auto source = make_file_source(*command_.texts.input, std::move(file), waiting(session_));
  const PartCounts before = counts();
  if (report_) {
    report_->go_on_with(*source);
  } else {
    report_.emplace(model_session, *source, true);
    report_->set_total(bytes_left);
  }
  source_ = std::move(source);
  const std::string suffix = std::string(".") + name_of(format_);
  const auto paths = row_paths(format_, folder.path_of(part, suffix), options_.dimensions);
  writer_ = make_row_writer(format_, header_, open_rows(format_, paths, waiting(session_)));
  embed(model_session, model);
  PartCounts done = counts();
  done.rows -= before.rows;
  done.skipped -= before.skipped;
  done.truncated -= before.truncated;
  done.tokens -= before.tokens;
  if (done.rows + done.skipped != range.rows) {
    throw Failure(kRuntimeFailure,
                  "'" + *command_.texts.input + "' changed while it was read; begin again in another folder");
  }
  writer_->finish();
  folder.finish(part, done, paths);
  return done;
}

PartCounts EmbedRun::counts() const {
  if (!report_) return {};
  return {report_->texts(), report_->skipped(), report_->truncated(), report_->tokens()};
}

}  // namespace stella::cli
