// `stella embed`: texts to vectors.
#include "cli/commands.hpp"
#include "cli/embed_run.hpp"

#include <memory>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella embed --model demo "What are safetensors?"
  stella embed --task document --input passages.txt --output passages.npy --meta passages.json
  stella embed --task document --input docs.jsonl --field body --keep id,url --output vectors.jsonl
  stella embed --task document --input docs.jsonl --output vectors --parts 64 --resume
  cat texts.txt | stella embed --task document --input - --dim 256,1024

Output:
  json   {"model","task","precision","data":[rows]}; the default for TEXT arguments
  jsonl  a row a line; the default with --input
         {"index":0,"tokens":12,"truncated":false,"dimension":1024,"embedding":[...]}
         "full_tokens" follows "truncated" where that is true; the fields of --keep follow "index"
         with several dimensions "embeddings":{"256":[...],"1024":[...]} in place of the last two
  npy    float32 array (rows, dimension) for numpy.load; needs --output FILE
  f32    raw little-endian float32 rows

With several dimensions npy and f32 write v.256.npy, v.1024.npy for --output v.npy. Without --format the name
says which: .json, .jsonl, .ndjson, .npy, .f32, .bin. Where a line cannot be embedded, the rows before it stay in FILE.partial.)";

}  // namespace

Command add_embed(CLI::App& root) {
  auto command = std::make_shared<EmbedCommand>();
  CLI::App* app = root.add_subcommand("embed", "Turn texts into vectors");
  app->footer(kFooter);
  add_texts(*app, command->texts);
  add_string(*app, "--output", command->output, "Write to a file, which appears when it is complete (default -)")
      ->type_name("FILE|-");
  add_string(*app, "--format", command->format, "How vectors are written (see below)")->type_name("json|jsonl|npy|f32");
  add_string(*app, "--keep", command->texts.keep,
             "Fields of the JSON lines to carry into the rows; null where a line has none of that name")
      ->type_name("F[,F...]");
  add_string(
      *app, "--meta", command->meta,
      "Also write JSON that says how the vectors were made: model, commit, task, prompt, precision, sizes, counts")
      ->type_name("FILE");
  add_prompt(*app, command->prompt);
  add_string(*app, "--dim", command->dimensions, "Sizes of the vectors, each of which the model has a head for")
      ->type_name("N[,N...]");
  app->add_flag("--no-normalize", command->no_normalize, "Leave the vectors' lengths as the model gives them");
  add_max_length(*app, command->prompt);
  add_string(*app, "--on-long", command->on_long,
             "truncate: cut a text that is too long and say so in its row (default). error: stop there")
      ->type_name("truncate|error");
  add_count(*app, "--parts", command->parts,
            "Write N parts into the folder --output, with a manifest, so that a run that ends early can go on")
      ->type_name("N");
  app->add_flag("--resume", command->resume,
                "Go on with a folder of --parts: finished parts stay, and other settings or inputs are refused");
  add_common(*app, *command->common);
  return {app, command->common, [command](Session& session) {
            EmbedRun(*command, session).run();
            return kOk;
          }};
}

}  // namespace stella::cli
