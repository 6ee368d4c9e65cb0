// What the model reads of each text.

const MOST_TOKENIZED = 40;
const MOST_PIECES = 600;

/** `pieces` of one text as /tokenize has them, never cut; `row` says how many the model reads. */
function tokenRow(text, index, pieces, row, promptBytes) {
  const lost = row.truncated ? row.full - row.tokens : 0;
  const head = element("div", { class: "head" },
    element("span", {}, element("b", { text: index + 1 }), `  ${shorten(text, 90)}`),
    lost
      ? element("span", { class: "cut", text: `${count(row.full, "token")}, cut to ${row.tokens.toLocaleString("en")}` })
      : element("span", { text: count(row.tokens, "token") }));
  const list = element("div", { class: "pieces" });
  // The cut takes tokens of the text, not those that the model's template puts behind it.
  const behind = pieces.length - 1 - pieces.findLastIndex((piece) => !piece.special);
  const kept = pieces.length - lost - behind;
  pieces.slice(0, MOST_PIECES).forEach((piece, i) => {
    const isLost = lost > 0 && i >= kept && i < pieces.length - behind;
    const kind = piece.special ? "special" : isLost ? "lost" : piece.stop <= promptBytes ? "prompt-piece" : undefined;
    list.append(element("span", { class: kind, title: `id ${piece.id}`, text: piece.text }));
  });
  if (pieces.length > MOST_PIECES) list.append(element("span", { class: "more", text: `and ${(pieces.length - MOST_PIECES).toLocaleString("en")} more` }));
  return element("li", {}, head, list);
}

function drawTokens(texts, tokens, rows, prompt) {
  const promptBytes = new TextEncoder().encode(prompt).length;
  $("tokens").replaceChildren(...texts.map((text, i) => tokenRow(text, i, tokens[i], rows[i], promptBytes)));
}
