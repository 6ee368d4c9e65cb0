#include "support.hpp"

#include "base/mapped_file.hpp"
#include "weights/tensors.hpp"

#include <array>

#include <boost/json.hpp>

namespace stella::test {

namespace fs = std::filesystem;
namespace json = boost::json;

const std::vector<float>* Goldens::find(const Case& one, std::size_t dimension) const {
  const auto found = vectors.find(std::to_string(one.text) + "." + one.task + "." + std::to_string(one.max_length) +
                                  "." + std::to_string(dimension));
  return found == vectors.end() ? nullptr : &found->second;
}

Goldens read_goldens(const fs::path& checkpoint) {
  Goldens goldens;
  const json::value parsed = json::parse(read_text_file(checkpoint / "goldens/goldens.json"));
  for (const json::value& text : parsed.at("texts").as_array()) goldens.texts.emplace_back(text.as_string());
  for (const auto& [task, prompt] : parsed.at("prompts").as_object()) {
    goldens.prompts.emplace(std::string(task), std::string(prompt.as_string()));
  }
  for (const json::value& item : parsed.at("cases").as_array()) {
    Goldens::Case one;
    one.text = item.at("text").to_number<std::size_t>();
    one.task = std::string(item.at("task").as_string());
    one.max_length = item.at("max_len").to_number<std::size_t>();
    for (const json::value& id : item.at("ids").as_array()) one.ids.push_back(id.to_number<std::int32_t>());
    goldens.cases.push_back(std::move(one));
  }
  const weights::Tensors tensors = weights::Tensors::open(std::array{checkpoint / "goldens/goldens.safetensors"});
  for (const std::string& name : tensors.names()) goldens.vectors[name] = weights::to_f32(*tensors.find(name));
  return goldens;
}

TestHub::TestHub(const fs::path& directory, std::string repo_arg) : repo(std::move(repo_arg)) {
  server.add_revision(repo, "main", directory);
}

ModelOptions TestHub::options(std::shared_ptr<Runtime> runtime) const {
  HubOptions hub;
  hub.endpoint = server.endpoint();
  hub.cache_dir = cache.path() / "hub";  // with room beside it for packed weights
  return {.hub = hub, .runtime = std::move(runtime)};
}

std::string describe(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.code().message() + ": " + e.what();
  } catch (const std::exception& e) {
    return std::string("not an error of ours: ") + e.what();
  }
  return "no error";
}

std::optional<Errc> errc_of(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.errc();
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace stella::test
