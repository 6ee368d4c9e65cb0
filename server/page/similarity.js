// The view of all pairs: a heat map that is a table, so that it can be read and walked through.

const MOST_IN_HEAT = 40;
/** Share of the ramp from which on the other ink is easier to read: there, both have a contrast of 4.58. */
const HIGH_INK = 0.663;

/** Best pair off the diagonal: what to show before somebody points at another. */
function bestPair(matrix) {
  let best = [0, 1];
  matrix.forEach((row, i) => row.forEach((value, j) => j > i && value > matrix[best[0]][best[1]] && (best = [i, j])));
  return best;
}

function showPair(texts, matrix, row, column) {
  $("pair").replaceChildren(
    element("strong", { text: matrix[row][column].toFixed(3) }),
    element("span", {}, ...[row, column].map((i) => element("span", {}, element("b", { text: i + 1 }), texts[i]))),
  );
  const table = $("heat").firstChild;
  for (const cell of table.querySelectorAll(".on")) cell.classList.remove("on");
  table.rows[row + 1].cells[column + 1].classList.add("on");
  table.rows[row + 1].cells[0].classList.add("on");
  table.tHead.rows[0].cells[column + 1].classList.add("on");
}

/** Cells as wide as there is room, and lower where they are many; below a width their numbers are left out. */
function fitHeat() {
  const table = $("heat").firstChild;
  if (!table) return;
  const columns = table.rows[0].cells.length - 1;
  const width = $("heat").clientWidth;
  const name = clamp(width * 0.3, 76, 230);
  const cell = (width - name) / columns - 2;
  table.style.setProperty("--name", name + "px");
  table.style.setProperty("--cell", clamp(cell, 12, 38) + "px");
  table.classList.toggle("small", cell < 34);
  table.classList.toggle("dense", cell < 24);
  table.classList.toggle("packed", cell < 13);
}

/** 0.832 → ".83" */
const brief = (value) => value.toFixed(2).replace("1.00", "1").replace("-0.00", "0.00").replace("0.", ".");

function makeHeat(texts, matrix) {
  const off = matrix.flatMap((row, i) => row.filter((_, j) => j !== i));
  const low = Math.min(...off), high = Math.max(...off), range = high - low || 1;
  const table = element("table", { class: "heat", role: "grid", "aria-label": `Similarity of ${count(texts.length, "text")}, each with each` });
  const head = element("tr", {}, element("th", { class: "name", scope: "col" }, element("span", { class: "unseen", text: "Text" })));
  texts.forEach((text, i) => head.append(element("th", { scope: "col", text: i + 1, title: text })));
  table.createTHead().append(head);
  const body = table.createTBody();
  matrix.forEach((row, i) => {
    const line = element("tr", {}, element("th", { class: "name", scope: "row", title: texts[i] }, element("b", { text: i + 1 }), texts[i]));
    row.forEach((value, j) => {
      const share = i === j ? 1 : clamp((value - low) / range, 0, 1);
      const cell = { role: "gridcell", tabindex: i + j === 0 ? 0 : -1, class: i === j ? "self" : share > HIGH_INK && "high", vars: { "--v": share.toFixed(3) }, text: brief(value) };
      line.append(element("td", cell));
    });
    body.append(line);
  });
  $("legend-low").textContent = low.toFixed(2);
  $("legend-high").textContent = high.toFixed(2);
  return table;
}

const heatView = {
  data: null,
  at: null,

  draw(texts, vectors) {
    const matrix = vectors.map((a) => vectors.map((b) => cosine(a, b)));
    const focused = $("heat").contains(document.activeElement) && this.at;
    this.data = { texts, matrix };
    $("heat").replaceChildren(makeHeat(texts, matrix));
    $("legend").hidden = false;
    fitHeat();
    const at = this.at && this.at[0] < texts.length && this.at[1] < texts.length ? this.at : bestPair(matrix);
    showPair(texts, matrix, ...at);
    if (focused) $("heat").firstChild.rows[at[0] + 1].cells[at[1] + 1].focus();
  },

  cellOf(event) {
    const cell = event.target.closest("td");
    return cell && [cell.parentElement.rowIndex - 1, cell.cellIndex - 1];
  },
};

function startSimilarity() {
  for (const kind of ["pointerover", "focusin", "click"]) {
    $("heat").addEventListener(kind, (event) => {
      const at = heatView.cellOf(event);
      if (!at) return;
      heatView.at = at;
      showPair(heatView.data.texts, heatView.data.matrix, ...at);
    });
  }
  $("heat").addEventListener("pointerleave", () => {
    heatView.at = null;
    if (heatView.data) showPair(heatView.data.texts, heatView.data.matrix, ...bestPair(heatView.data.matrix));
  });
  rove($("heat"), () => [...$("heat").querySelectorAll("td")], (key, at) => {
    const columns = heatView.data.texts.length;
    const [row, column] = [Math.floor(at / columns), at % columns];
    const moves = { ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1], ArrowDown: [row + 1, column], ArrowUp: [row - 1, column] };
    const [y, x] = moves[key] ?? [];
    return x >= 0 && x < columns && y >= 0 && y < columns ? y * columns + x : undefined;
  });
  new ResizeObserver(fitHeat).observe($("heat"));
}
