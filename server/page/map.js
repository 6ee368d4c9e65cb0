// The texts in the plane of their two principal components.

const MOST_ON_MAP = 200;

const mapView = { points: null, texts: [], likes: [], at: 0 };

/** Positions in a box; both axes have the same scale, as distances shall be what they are. */
function layOut(points, width, height, pad) {
  const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
  const middle = [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
  const wide = Math.max(...xs) - Math.min(...xs) || 1, high = Math.max(...ys) - Math.min(...ys) || 1;
  const scale = Math.min((width - 2 * pad) / wide, (height - 2 * pad) / high);
  return points.map(([x, y]) => [width / 2 + (x - middle[0]) * scale, height / 2 - (y - middle[1]) * scale]);
}

/** Where labels go, each beside its point, below or above it, such that none covers another or a point; null where there is no room. */
function placeLabels(spots, labels, width, height) {
  const taken = spots.map(([x, y]) => ({ left: x - 9, right: x + 9, top: y - 9, bottom: y + 9 }));
  const free = (box) => box.left >= 4 && box.right <= width - 4 && box.top >= 4 && box.bottom <= height - 4 &&
    taken.every((other) => box.right < other.left || box.left > other.right || box.bottom < other.top || box.top > other.bottom);
  return spots.map(([x, y], i) => {
    const wide = labels[i].length * 6.5 + 4, line = 17;
    const ways = [
      { anchor: "start", dx: 12, dy: 5, box: { left: x + 10, right: x + 12 + wide, top: y - 9, bottom: y + 8 } },
      { anchor: "end", dx: -12, dy: 5, box: { left: x - 12 - wide, right: x - 10, top: y - 9, bottom: y + 8 } },
      { anchor: "middle", dx: 0, dy: line + 5, box: { left: x - wide / 2, right: x + wide / 2, top: y + 10, bottom: y + 10 + line } },
      { anchor: "middle", dx: 0, dy: -12, box: { left: x - wide / 2, right: x + wide / 2, top: y - 10 - line, bottom: y - 10 } },
    ];
    const way = ways.find((one) => free(one.box));
    if (way) taken.push(way.box);
    return way ?? null;
  });
}

const nearest = (i) => ranked(mapView.likes[i].map((like, j) => (j === i ? -2 : like))).slice(0, Math.min(3, mapView.likes.length - 1));

function pointAt(index) {
  const svg = $("map").firstChild;
  mapView.at = index;
  const near = nearest(index);
  svg.querySelectorAll("g.point").forEach((group, i) => {
    group.classList.toggle("on", i === index);
    group.classList.toggle("dim", i !== index && !near.includes(i));
    group.tabIndex = i === index ? 0 : -1;
  });
  const [x, y] = mapView.spots[index];
  svg.querySelector(".links").replaceChildren(...near.map((j) => shape("line", { class: "link", x1: x, y1: y, x2: mapView.spots[j][0], y2: mapView.spots[j][1] })));
  const list = near.map((j) => `${shorten(mapView.texts[j], 60)} (${mapView.likes[index][j].toFixed(2)})`).join(" · ");
  $("near").textContent = `${shorten(mapView.texts[index], 90)} — nearest: ${list}`;
}

function leaveMap() {
  const svg = $("map").firstChild;
  svg?.querySelector(".links").replaceChildren();
  svg?.querySelectorAll("g.point").forEach((group) => group.classList.remove("on", "dim"));
  $("near").textContent = mapView.note;
}

function drawMap(texts, vectors) {
  const narrow = $("map").clientWidth < 520;
  const width = narrow ? 400 : 820, height = narrow ? 400 : 520;
  const { points, shares } = project(vectors, mapView.points);
  const spots = layOut(points, width, height, narrow ? 40 : 76);
  const likes = vectors.map((a) => vectors.map((b) => cosine(a, b)));
  const focused = $("map").contains(document.activeElement);
  Object.assign(mapView, { points, spots, texts, likes, at: Math.min(mapView.at, texts.length - 1) });
  mapView.note = `The plane that shows most of the differences: ${Math.round(100 * (shares[0] + shares[1]))} % of them. Point at a text for its nearest.`;
  const labels = texts.map((text) => shorten(text, narrow ? 20 : 34));
  const places = placeLabels(spots, labels, width, height);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Map of ${count(texts.length, "text")}; arrow keys go from one to the next` }, shape("g", { class: "links" }));
  spots.forEach(([x, y], i) => {
    const near = nearest(i).map((j) => shorten(texts[j], 60)).join("; ");
    svg.append(shape("g", { class: "point", role: "img", tabindex: i === mapView.at ? 0 : -1, "data-x": points[i][0], "data-y": points[i][1], "aria-label": `${texts[i]}. Nearest: ${near}` },
      shape("circle", { class: "halo", cx: x, cy: y, r: 10 }), shape("circle", { cx: x, cy: y, r: 6 }),
      ...(places[i] ? [shape("text", { x: x + places[i].dx, y: y + places[i].dy, "text-anchor": places[i].anchor, text: labels[i], "aria-hidden": "true" })] : []),
      shape("title", { text: texts[i] })));
  });
  $("map").replaceChildren(svg);
  if (focused) svg.querySelectorAll("g.point")[mapView.at].focus();
  else leaveMap();
}

function startMap() {
  const indexOf = (target) => [...$("map").querySelectorAll("g.point")].indexOf(target.closest("g.point"));
  for (const kind of ["pointerover", "focusin", "click"]) {
    $("map").addEventListener(kind, (event) => {
      const index = indexOf(event.target);
      if (index >= 0) pointAt(index);
    });
  }
  $("map").addEventListener("pointerleave", leaveMap);
  $("map").addEventListener("focusout", leaveMap);
  rove($("map"), () => [...$("map").querySelectorAll("g.point")], alongRow);
}
