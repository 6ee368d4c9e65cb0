// Each view: the texts that it takes, the fewest that it needs, what it asks for and draws.

const MOST_TEXTS = 5000;
const MOST_WITH_ALL_SIZES = 40;  // an answer at all seven sizes is a quarter of a megabyte a text

const vectorsFor = (list, task, signal) =>
  kept.of(list, task, sizesFor(texts()), signal, (done, all) => ($("timing").textContent = `${done.toLocaleString("en")} of ${count(all, "text")} …`));

const views = {
  similarity: {
    most: MOST_IN_HEAT, least: 2,
    request: (list) => ({ path: "embed", body: bodyOf(list, $("task").value, sizesFor(texts())) }),
    async show(list, signal) {
      const answer = await vectorsFor(list, $("task").value, signal);
      heatView.draw(list, answer.rows.map((row) => row.vectors[size()]));
      return answer;
    },
  },
  search: {
    most: MOST_TEXTS, least: 1,
    request: () => ({ path: "embed", body: bodyOf([$("query").value.trim() || EXAMPLE_QUERY], $("query-task").value, sizesFor(texts())) }),
    async show(list, signal) {
      const answer = await vectorsFor(list, "document", signal);
      const query = $("query").value.trim();
      if (!query) {
        $("hits").replaceChildren();
        $("order").textContent = "Type a query.";
        return answer;
      }
      const asked = await vectorsFor([query], $("query-task").value, signal);
      const sizes = sizesFor(list);
      drawSearch(list, asked.rows[0], answer.rows, sizes, sizes.indexOf(size()));
      return { rows: answer.rows, timing: answer.timing ?? asked.timing };
    },
  },
  map: {
    most: MOST_ON_MAP, least: 3,
    request: (list) => views.similarity.request(list),
    async show(list, signal) {
      const answer = await vectorsFor(list, $("task").value, signal);
      drawMap(list, answer.rows.map((row) => row.vectors[size()]));
      return answer;
    },
  },
  tokens: {
    most: MOST_TOKENIZED, least: 1,
    request: (list) => ({ path: "tokenize", body: { inputs: list, prompt_name: $("task").value } }),
    async show(list, signal) {
      const answer = await vectorsFor(list, $("task").value, signal);
      const { data } = await ask("tokenize", this.request(list).body, signal);
      drawTokens(list, data, answer.rows, state.prompts[$("task").value] ?? "");
      return answer;
    },
  },
};
