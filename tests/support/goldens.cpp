#include "support/goldens.hpp"

#include "base/json.hpp"
#include "base/mapped_file.hpp"
#include "weights/tensors.hpp"

#include <array>
#include <utility>

namespace stella::test {

std::string Goldens::Case::key() const {
  return std::to_string(text) + "." + task + "." + std::to_string(max_length);
}

const std::vector<float>* Goldens::find(const Case& one, std::size_t dimension) const {
  const auto found = vectors.find(one.key() + "." + std::to_string(dimension));
  return found == vectors.end() ? nullptr : &found->second;
}

Goldens read_goldens(const std::filesystem::path& checkpoint) {
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

}  // namespace stella::test
