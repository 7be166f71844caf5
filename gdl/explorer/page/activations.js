// Functions of single numbers on arrays: each takes a Float32Array and options, and returns a new one.
// Loops are written out, since a function that is called for each number would take several times as long.

// Returns the error function of v, with an absolute error below 2e-7: Abramowitz & Stegun, 1964, Eq. 7.1.26.
function erf(v) {
  const t = 1 / (1 + .3275911 * Math.abs(v));
  const rest = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - .284496736) * t + .254829592) * t * Math.exp(-v * v);
  return v < 0 ? rest - 1 : 1 - rest;
}

export const ACTIVATIONS = {
  relu(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.max(x[i], 0);
    return y;
  },
  leaky_relu(x, {slope}) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = x[i] < 0 ? slope * x[i] : x[i];
    return y;
  },
  silu(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = x[i] / (1 + Math.exp(-x[i]));
    return y;
  },
  elu(x, {alpha = 1}) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = x[i] < 0 ? alpha * Math.expm1(x[i]) : x[i];
    return y;
  },
  gelu(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = .5 * x[i] * (1 + erf(x[i] * Math.SQRT1_2));
    return y;
  },
  tanh(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.tanh(x[i]);
    return y;
  },
  sigmoid(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = 1 / (1 + Math.exp(-x[i]));
    return y;
  },
  softplus(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.max(x[i], 0) + Math.log1p(Math.exp(-Math.abs(x[i])));
    return y;
  },
  exp(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.exp(x[i]);
    return y;
  },
  log(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.log(x[i]);
    return y;
  },
  abs(x) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.abs(x[i]);
    return y;
  },
  affine(x, {scale, shift}) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = x[i] * scale + shift;
    return y;
  },
  clamp(x, {low, high}) {
    const y = new Float32Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.min(Math.max(x[i], low), high);
    return y;
  },
};
