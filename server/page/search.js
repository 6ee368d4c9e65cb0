// Texts ranked for a query, and how their places change with the number of dimensions.

const MOST_HITS = 20;

/** Places of one text at all sizes as a small line: the first place at the top. */
function spark(places, now, total) {
  const width = 92, height = 30, depth = Math.max(1, Math.min(total, MOST_HITS) - 1);
  const x = (i) => (places.length === 1 ? width / 2 : 4 + (i * (width - 8)) / (places.length - 1));
  const y = (place) => 4 + (Math.min(place, depth) * (height - 8)) / depth;
  const line = places.map((place, i) => `${x(i)},${y(place)}`).join(" ");
  return shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("line", { class: "spark-base", x1: x(now), x2: x(now), y1: 0, y2: height }),
    shape("polyline", { class: "spark", points: line, "vector-effect": "non-scaling-stroke" }),
    shape("line", { class: "spark-dot", x1: x(now), x2: x(now), y1: y(places[now]), y2: y(places[now]), "vector-effect": "non-scaling-stroke" }));
}

function hitRow(hit, sizes, now, total) {
  const at = sizes.map((size, i) => `${hit.places[i] + 1} at ${size}`).join(", ");
  return element("li", { "data-index": hit.index },
    element("span", { class: "rank", text: hit.places[now] + 1 }),
    element("span", { class: "text", text: hit.text, title: hit.text }),
    element("span", { class: "score", text: hit.score.toFixed(3) }),
    element("span", { class: "meter", "aria-hidden": "true", vars: { "--v": clamp(hit.score, 0, 1).toFixed(3) } }, element("i")),
    ...(sizes.length > 1 ? [spark(hit.places, now, total), element("span", { class: "unseen", text: `Place: ${at}` })] : []));
}

/** Rows slide from where they were. */
function slide(list, draw) {
  const before = new Map([...list.children].map((row) => [row.dataset.index, row.offsetTop]));
  draw();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const row of list.children) {
    const from = before.get(row.dataset.index);
    const way = from === undefined ? 0 : from - row.offsetTop;
    if (way) row.animate([{ transform: `translateY(${way}px)` }, { transform: "none" }], { duration: 320, easing: "cubic-bezier(.2,.8,.3,1)" });
  }
}

/** "With 256 dimensions, 6 of 8 texts keep the place that they have with 8,192, in 1/32 of the memory." */
function orderLine(places, sizes, now) {
  const last = sizes.length - 1;
  if (last < 1) return "";
  const whole = `${sizes[last].toLocaleString("en")} dimensions`;
  if (now === last) return `The order with ${whole}. Slide to fewer and see who moves. The lines show each text's place at every size.`;
  const same = places[now].filter((place, i) => place === places[last][i]).length;
  const share = Math.round(sizes[last] / sizes[now]);
  const kept = same === places[now].length ? "Every text keeps" : `${same} of ${count(places[now].length, "text")} keep`;
  return `${kept} the place it has with ${whole}`.replace(/(keep )the place it has/, "$1the place they have") + (share > 1 ? `, in 1/${share} of the memory.` : ".");
}

/** `query` and `texts`: rows of Vectors; `sizes`: those that both have, `now`: which of them is shown. */
function drawSearch(texts, query, rows, sizes, now) {
  const scores = sizes.map((size) => rows.map((row) => cosine(query.vectors[size], row.vectors[size])));
  const places = scores.map(placesOf);
  const best = ranked(scores[now]).slice(0, MOST_HITS);
  const hits = best.map((index) => ({ index, text: texts[index], score: scores[now][index], places: places.map((one) => one[index]) }));
  slide($("hits"), () => $("hits").replaceChildren(...hits.map((hit) => hitRow(hit, sizes, now, texts.length))));
  const rest = texts.length - best.length;
  $("order").textContent = orderLine(places, sizes, now) + (rest > 0 ? ` The best ${best.length} of ${count(texts.length, "text")}.` : "");
}
