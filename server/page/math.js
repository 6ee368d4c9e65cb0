// Cosines, ranks and the two directions of a map.

function cosine(a, b) {
  let dot = 0, left = 0, right = 0;
  for (let i = 0; i < a.length; ++i) {
    dot += a[i] * b[i];
    left += a[i] * a[i];
    right += b[i] * b[i];
  }
  return dot / (Math.sqrt(left * right) || 1);
}

/** Indices, highest score first; of equal scores the earlier one. */
const ranked = (scores) => scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);

/** places[i]: at which place of the ranking i is, from 0. */
function placesOf(scores) {
  const places = new Array(scores.length);
  ranked(scores).forEach((index, place) => (places[index] = place));
  return places;
}

/** vectors - their mean, and of those all products: [n][n]. */
function gram(vectors) {
  const n = vectors.length, size = vectors[0].length;
  const mean = new Float64Array(size);
  for (const vector of vectors) for (let k = 0; k < size; ++k) mean[k] += vector[k] / n;
  const rows = vectors.map((vector) => Float64Array.from(vector, (value, k) => value - mean[k]));
  const out = rows.map(() => new Float64Array(n));
  for (let i = 0; i < n; ++i) {
    for (let j = i; j < n; ++j) {
      let sum = 0;
      for (let k = 0; k < size; ++k) sum += rows[i][k] * rows[j][k];
      out[i][j] = out[j][i] = sum;
    }
  }
  return out;
}

/** The largest eigenvalue of a symmetric matrix and its vector, by the power method. */
function leading(matrix) {
  const n = matrix.length;
  let vector = Float64Array.from(matrix, (_, i) => Math.cos(1 + i * 2.399963));  // no symmetry that could be at right angles to it
  let value = 0;
  for (let step = 0; step < 500; ++step) {
    const next = Float64Array.from(matrix, (row) => row.reduce((sum, x, j) => sum + x * vector[j], 0));
    const length = Math.hypot(...next);
    if (length < 1e-12) return { value: 0, vector: new Float64Array(n) };
    for (let i = 0; i < n; ++i) next[i] /= length;
    const change = Math.max(...next.map((x, i) => Math.abs(x - vector[i])));
    vector = next;
    value = length;
    if (change < 1e-9) break;
  }
  return { value, vector };
}

/**
 * Principal components: { points: [[x, y]], shares: [x's, y's part of the variance] }. The signs are those that are nearest to `before`, so that
 * points do not jump to the other side.
 */
function project(vectors, before) {
  const matrix = gram(vectors);
  const whole = matrix.reduce((sum, row, i) => sum + row[i], 0) || 1;
  const points = vectors.map(() => [0, 0]);
  const shares = [0, 0];
  for (const axis of [0, 1]) {
    const { value, vector } = leading(matrix);
    shares[axis] = value / whole;
    const scale = Math.sqrt(value);
    const like = before?.length === points.length ? before.reduce((sum, point, i) => sum + point[axis] * vector[i], 0) : vector.reduce((sum, x) => sum + x ** 3, 0);
    points.forEach((point, i) => (point[axis] = vector[i] * scale * (like < 0 ? -1 : 1)));
    matrix.forEach((row, i) => row.forEach((_, j) => (row[j] -= value * vector[i] * vector[j])));
  }
  return { points, shares };
}
