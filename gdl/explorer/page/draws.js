// Random draws of latents that a seed repeats, in every browser.
import { readTensors } from "./weights.js";

// Returns a function that returns numbers in [0, 1): the generator mulberry32 (Tommy Ettinger), a whole seed of 32 bits.
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Keeps an input of seeds to whole numbers from 0 to its max: `changed()` is called for each that is one; of another text the last seed
// comes back and `say` is told what a seed is. Returns {value(), next()}, next counts up, from the last to 0.
export function openSeed(input, changed, say) {
  const most = Number(input.max);
  let kept = Number(input.value);
  input.addEventListener("change", () => {
    const value = Number(input.value);
    if (input.value === "" || !Number.isInteger(value) || value < 0 || value > most) {
      input.value = kept;
      return say(`A seed is a whole number from 0 to ${most}.`);
    }
    input.value = kept = value;  // 1e3 and 007 are seeds too
    changed();
  });
  return {value: () => kept, next() { input.value = kept = (kept + 1) % (most + 1); }};
}

// Returns n draws of N(0, 1) as a Float64Array, two from each pair of uniform numbers (Box and Muller, 1958).
export function normals(seed, n) {
  const next = uniforms(seed), out = new Float64Array(n);
  for (let i = 0; i < n; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - next())), angle = 2 * Math.PI * next();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < n) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}

// Returns n draws of the standard logistic distribution.
export function logistics(seed, n) {
  const next = uniforms(seed);
  return Float64Array.from({length: n}, () => { const u = next() || 2 ** -33; return Math.log(u / (1 - u)); });
}

// Returns a function (seed, temperature) -> latents, mean + temperature L n, of the content of the sliders: L is the unit matrix,
// a diagonal, or a whole matrix; n are normal, or logistic where the prior is.
export function drawsOf({mean, factor, prior}) {
  const matrix = factor && readTensors(factor)[0], size = mean.length;
  const spread = n => {
    if (!matrix) return n;
    if (matrix.shape[0] !== size) return n.map((v, j) => v * matrix.data[j]);
    return n.map((_, j) => n.reduce((sum, v, k) => sum + matrix.data[j * size + k] * v, 0));
  };
  return (seed, temperature) => {
    const noise = spread((prior === "logistic" ? logistics : normals)(seed, size));
    return Float32Array.from(mean, (m, j) => m + temperature * noise[j]);
  };
}
