// Operations of flows, see gdl/explorer/flow_ops.py for what each of them means.

const flowValue = (shape, data) => ({shape, data});
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
  return flowValue(x.shape, out);
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
  take([x], {index}) {
    const [rows, wide] = x.shape, step = x.data.length / rows / wide, out = new Float32Array(rows * index.length * step);
    for (let r = 0; r < rows; r++) {
      index.forEach((from, to) => out.set(x.data.subarray((r * wide + from) * step, (r * wide + from + 1) * step), (r * index.length + to) * step));
    }
    return flowValue([rows, index.length, ...x.shape.slice(2)], out);
  },
  constant([x], {tensor}) {
    const rows = x.shape[0], size = tensor.data.length, out = new Float32Array(rows * size);
    for (let r = 0; r < rows; r++) out.set(tensor.data, r * size);
    return flowValue([rows, ...tensor.shape], out);
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
    return flowValue(x.shape, out);
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
    return flowValue(z.shape, out);
  },
  mixture_logit: inputs => eachMixture(inputs, mixtureLogit),
  mixture_log_slope: inputs => eachMixture(inputs, mixtureLogSlope),
  mixture_invert: inputs => eachMixture(inputs, mixtureInvert),
  mul: ([a, b]) => flowValue(a.shape, a.data.map((v, i) => v * b.data[i])),
  sub: ([a, b]) => flowValue(a.shape, a.data.map((v, i) => v - b.data[i])),
  exp: ([x]) => flowValue(x.shape, x.data.map(Math.exp)),
  softplus: ([x]) => flowValue(x.shape, x.data.map(softPlus)),
  mul_tensor: ([x], {tensor: t}) => flowValue(x.shape, x.data.map((v, i) => v * t.data[i % t.data.length])),
  sum([x]) {
    const rows = x.shape[0], size = x.data.length / rows, out = new Float32Array(rows);
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let i = r * size; i < (r + 1) * size; i++) sum += x.data[i];
      out[r] = sum;
    }
    return flowValue([rows], out);
  },
  rows([y], {tensor: t}) {
    const size = t.data.length / t.shape[0], out = new Float32Array(y.data.length * size);
    y.data.forEach((row, i) => out.set(t.data.subarray(row * size, (row + 1) * size), i * size));
    return flowValue([y.data.length, ...t.shape.slice(1)], out);
  },
  concat(parts) {
    const rows = parts[0].shape[0], rest = parts[0].shape.slice(2), sizes = parts.map(p => p.data.length / rows);
    const wide = sizes.reduce((a, b) => a + b, 0), out = new Float32Array(rows * wide);
    for (let r = 0; r < rows; r++) {
      let at = r * wide;
      parts.forEach((p, i) => { out.set(p.data.subarray(r * sizes[i], (r + 1) * sizes[i]), at); at += sizes[i]; });
    }
    return flowValue([rows, parts.reduce((a, p) => a + p.shape[1], 0), ...rest], out);
  },
};
