// Operations of flows, see gdl/explorer/flow_ops.py for what each of them means.
import { tensor } from "./tensor.js";

const softPlus = v => v > 0 ? v + Math.log1p(Math.exp(-v)) : Math.log1p(Math.exp(v));

// Runs f(x, weights, means, scales) for each number of x (B, D) with its mixture of raw (B, D, 3, K).
function eachMixture([x, raw], f) {
  const k = raw.shape[3], out = new Float32Array(x.data.length);
  const weight = new Float64Array(k), mean = new Float64Array(k), scale = new Float64Array(k);
  for (let i = 0; i < out.length; i++) {
    const at = i * 3 * k;
    let top = -Infinity, sum = 0;
    for (let j = 0; j < k; j++) top = Math.max(top, raw.data[at + j]);
    for (let j = 0; j < k; j++) sum += Math.exp(raw.data[at + j] - top);
    for (let j = 0; j < k; j++) {
      weight[j] = raw.data[at + j] - top - Math.log(sum);  // its logarithm, as of the scale
      mean[j] = raw.data[at + k + j];
      scale[j] = 5 * Math.tanh(raw.data[at + 2 * k + j] / 5);
    }
    out[i] = f(x.data[i], weight, mean, scale);
  }
  return tensor(x.shape, out);
}

// Returns log sum_j exp term(j) for j < count, without overflow.
function logSumOver(count, term) {
  let top = -Infinity, sum = 0;
  for (let j = 0; j < count; j++) {
    const t = term(j);
    if (t <= top) sum += Math.exp(t - top);
    else { sum = sum * Math.exp(top - t) + 1; top = t; }
  }
  return top + Math.log(sum);
}

// Returns log F(x) and log (1 - F(x)).
function mixtureMasses(x, weight, mean, scale) {
  const u = j => (x - mean[j]) * Math.exp(-scale[j]);
  return [logSumOver(mean.length, j => weight[j] - softPlus(-u(j))), logSumOver(mean.length, j => weight[j] - softPlus(u(j)))];
}

function mixtureLogit(x, ...mixture) {
  const [below, above] = mixtureMasses(x, ...mixture);
  return below - above;
}

function mixtureLogSlope(x, weight, mean, scale) {
  const [below, above] = mixtureMasses(x, weight, mean, scale);
  const u = j => (x - mean[j]) * Math.exp(-scale[j]);
  const density = logSumOver(mean.length, j => weight[j] - scale[j] - softPlus(u(j)) - softPlus(-u(j)));
  return density - below - above;
}

function mixtureInvert(z, weight, mean, scale) {
  let low = Infinity, high = -Infinity;
  for (let j = 0; j < mean.length; j++) {
    const end = mean[j] + Math.exp(scale[j]) * z;
    low = Math.min(low, end);
    high = Math.max(high, end);
  }
  for (let i = 0; i < 40 && high > low; i++) {
    const x = (low + high) / 2;
    if (mixtureLogit(x, weight, mean, scale) < z) low = x; else high = x;
  }
  return (low + high) / 2;
}

export const FLOW_OPS = {
  constant([x], {tensor: t}) {
    const rows = x.shape[0], size = t.data.length, out = new Float32Array(rows * size);
    for (let r = 0; r < rows; r++) out.set(t.data, r * size);
    return tensor([rows, ...t.shape], out);
  },
  triangular([x], {packed}) {
    const d = packed.shape[0], out = new Float32Array(x.data.length);
    for (let at = 0; at < out.length; at += d) {
      for (let i = 0; i < d; i++) {
        let sum = Math.exp(packed.data[i * d + i]) * x.data[at + i];
        for (let j = 0; j < i; j++) sum += packed.data[i * d + j] * x.data[at + j];
        out[at + i] = sum;
      }
    }
    return tensor(x.shape, out);
  },
  solve_triangular([z], {packed}) {
    const d = packed.shape[0], out = new Float32Array(z.data.length);
    for (let at = 0; at < out.length; at += d) {
      for (let i = 0; i < d; i++) {
        let rest = z.data[at + i];
        for (let j = 0; j < i; j++) rest -= packed.data[i * d + j] * out[at + j];
        out[at + i] = rest * Math.exp(-packed.data[i * d + i]);
      }
    }
    return tensor(z.shape, out);
  },
  mixture_logit: inputs => eachMixture(inputs, mixtureLogit),
  mixture_log_slope: inputs => eachMixture(inputs, mixtureLogSlope),
  mixture_invert: inputs => eachMixture(inputs, mixtureInvert),
};
