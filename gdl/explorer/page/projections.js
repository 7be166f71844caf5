// Projections of latents to the plane, and the way back: {places: Float32Array of N x 2, back(u, v) -> latents, onto(latents) -> [u, v] or null}.
import { readTensors } from "./weights.js";

// Returns the codes {count, size, at(i) -> latents of test image i} and the tensors of a map's content.
export function readCodes(content) {
  const tensors = readTensors(content.tensors), [codes, mean, directions] = tensors;
  const [count, kept] = codes.shape, size = mean.data.length, all = new Float32Array(count * size);
  for (let n = 0; n < count; n++) {
    all.set(mean.data, n * size);
    for (let k = 0; k < kept; k++) {
      const c = codes.data[n * kept + k];
      for (let j = 0; j < size; j++) all[n * size + j] += c * directions.data[k * size + j];
    }
  }
  return {count, size, tensors, all, at: i => all.slice(i * size, (i + 1) * size)};
}

// Two latents themselves; the others stay what they are. Of a single latent the second axis only spreads the points.
export function ofTwoLatents(codes, app, i, j) {
  const places = new Float32Array(2 * codes.count), flat = codes.size === 1;
  for (let n = 0; n < codes.count; n++) {
    places[2 * n] = codes.all[n * codes.size + i];
    places[2 * n + 1] = flat ? ((n * 0.618034) % 1) * 2 - 1 : codes.all[n * codes.size + j];
  }
  return {
    places,
    back(u, v) {
      const z = app.z.slice();
      if (!flat) z[j] = v;
      z[i] = u;
      return z;
    },
    onto: z => [z[i], flat ? 0 : z[j]],
  };
}

// The first two principal components; the way back leaves the others at the mean.
export function ofComponents(codes) {
  const [own, {data: mean}, {data: directions}] = codes.tensors, kept = own.shape[1], places = new Float32Array(2 * codes.count);
  const two = [0, 1].map(k => directions.subarray(k * codes.size, (k + 1) * codes.size)).filter(d => d.length);
  for (let n = 0; n < codes.count; n++) for (let k = 0; k < two.length; k++) places[2 * n + k] = own.data[n * kept + k];
  return {
    places,
    back: (...place) => Float32Array.from(mean, (v, j) => two.reduce((sum, direction, k) => sum + place[k] * direction[j], v)),
    onto: z => [0, 1].map(k => two[k] ? two[k].reduce((sum, d, j) => sum + d * (z[j] - mean[j]), 0) : 0),
  };
}

// A map without a formula, e.g. t-SNE; the way back are the codes of the `k` nearest points, weighted by 1 / distance.
export function ofNeighbours(codes, places, k = 5) {
  return {
    places,
    back(u, v) {
      const z = new Float32Array(codes.size), found = nearest(places, u, v, k);
      const weights = found.map(([, distance]) => 1 / (distance + 1e-6)), sum = weights.reduce((a, b) => a + b, 0);
      found.forEach(([i], f) => { for (let j = 0; j < z.length; j++) z[j] += weights[f] / sum * codes.all[i * codes.size + j]; });
      return z;
    },
    onto: () => null,
  };
}

// Returns the test image whose code is nearest to latents, or null where there is none.
export function nearestCode(codes, z) {
  let best = null, least = Infinity;
  for (let i = 0; i < codes.count; i++) {
    let sum = 0;
    for (let j = 0; j < z.length && sum < least; j++) sum += (codes.all[i * codes.size + j] - z[j]) ** 2;
    if (sum < least) [best, least] = [i, sum];
  }
  return best;
}

// Returns the k nearest points as pairs of index and distance, the nearest first; `among(i)` may leave out points.
export function nearest(places, u, v, k, among = () => true) {
  const found = [];
  for (let i = 0; i < places.length / 2; i++) {
    const distance = Math.hypot(places[2 * i] - u, places[2 * i + 1] - v);
    if (found.length === k && distance >= found[k - 1][1] || !among(i)) continue;
    if (found.length === k) found.pop();
    const at = found.findIndex(other => other[1] > distance);
    found.splice(at < 0 ? found.length : at, 0, [i, distance]);
  }
  return found;
}
