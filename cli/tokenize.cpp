// `stella tokenize`: the ids that the model sees.
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/stream.hpp"
#include "cli/text_options.hpp"
#include "format/json_text.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella tokenize --model demo "What are safetensors?"
  stella tokenize --task none --no-special --input texts.txt | wc -l

Prints one JSON array of token ids a text, with prompt and special tokens and cut to --max-length, as
`stella embed` uses them. Loads no weights.)";

struct TokenizeCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  TextOptions texts{};
  PromptOptions prompt{};
  bool no_special = false;

  int run(Session& session) const;
};

int TokenizeCommand::run(Session& session) const {
  check_prompt(prompt);
  const auto source = open_texts(texts, session);
  ModelSession model_session(session, *common);
  TokenizeOptions options;
  options.prompt = prompt.prompt;
  const ModelDescription description = model_session.describe();
  if (!prompt.prompt) options.task = effective_task(prompt, description);
  options.max_length = prompt.max_length;
  options.add_special_tokens = !no_special;

  Output out("-", waiting(session));
  TextReport report(model_session, *source, false);
  const auto start = [&](std::vector<std::string> chunk) {
    return session.start<std::vector<Tokens>>(
        [&](auto token) { model_session.model().tokenize(std::move(chunk), options, std::move(token)); });
  };
  stream_texts<Tokens>(session, *source, start, [&](const Chunk& chunk, const std::vector<Tokens>& results) {
    std::uint64_t count = 0;
    std::size_t truncated = 0;
    for (const Tokens& tokens : results) {
      out.write(format::JsonText().value(tokens.ids).take() + "\n");
      count += tokens.ids.size();
      truncated += tokens.truncated ? 1 : 0;
    }
    out.flush();
    report.add(chunk, count, truncated);
  });
  out.commit();
  report.finish(prompt.max_length.value_or(description.default_max_length));
  return kOk;
}

}  // namespace

Command add_tokenize(CLI::App& root) {
  auto command = std::make_shared<TokenizeCommand>();
  CLI::App* app = root.add_subcommand("tokenize", "Print the token ids of texts");
  app->footer(kFooter);
  add_texts(*app, command->texts);
  add_prompt(*app, command->prompt);
  add_max_length(*app, command->prompt);
  app->add_flag("--no-special", command->no_special, "Without the special tokens at the start and end");
  add_common(*app, *command->common);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
