// What likelihoods compute, see gdl/explorer/likelihood_ops.py and gdl/distributions. Sums are in double precision, and exact
// in the tails: there a probability is 0 in any number of bits, and its logarithm is not.
import { tensor } from "./tensor.js";

const LOG_SCALE_LOW = -7, LOG_SCALE_HIGH = 20, LARGEST_PARAMETER = 1e4;  // gdl/distributions/base.py

const keptWithin = (v, low, high) => Math.min(Math.max(v, low), high);
const logOfSigmoid = v => Math.min(v, 0) - Math.log1p(Math.exp(-Math.abs(v)));
// log(1 - exp(-a)) of a > 0
const log1mexp = a => a < Math.LN2 ? Math.log(-Math.expm1(-a)) : Math.log1p(-Math.exp(-a));

// exp(z^2) erfc(z) of z >= 0: a series near 0, a continued fraction further out.
function scaledErfc(z) {
  if (z < 2) {
    let term = 2 * z / Math.sqrt(Math.PI), sum = term;  // of exp(z^2) erf(z)
    for (let n = 1; term > 1e-17 * sum; n++) sum += term *= 2 * z * z / (2 * n + 1);
    return Math.exp(z * z) - sum;
  }
  let below = z;
  for (let n = 60; n > 0; n--) below = z + n / 2 / below;
  return 1 / (Math.sqrt(Math.PI) * below);
}

// The log of the standard normal distribution function.
function logNormalCdf(v) {
  const z = Math.abs(v) / Math.SQRT2, tail = Math.log(scaledErfc(z) / 2) - z * z;
  return v < 0 ? tail : Math.log1p(-Math.exp(tail));
}

// The log-probability of a level at y in [-1, 1], half a level `half` wide to each side, of a logistic distribution.
function logLogisticMass(y, mean, logScale, half) {
  const inverse = Math.exp(-keptWithin(logScale, LOG_SCALE_LOW, LOG_SCALE_HIGH)), edge = half * inverse, centred = (y - mean) * inverse;
  if (y < half / 2 - 1) return logOfSigmoid(centred + edge);
  if (y > 1 - half / 2) return logOfSigmoid(edge - centred);
  return logOfSigmoid(centred + edge) + logOfSigmoid(edge - centred) + Math.log(-Math.expm1(-2 * edge));
}

// The same of a normal distribution.
function logNormalMass(y, mean, logStd, half) {
  const std = Math.exp(keptWithin(logStd, LOG_SCALE_LOW, LOG_SCALE_HIGH)), gap = -Math.abs(y - mean);
  const upper = logNormalCdf((gap + half) / std);
  if (Math.abs(y) <= 1 - half / 2) return upper + log1mexp(Math.max(upper - logNormalCdf((gap - half) / std), 1e-16));
  return (y > mean) === (y > 0) ? upper : logNormalCdf((half - gap) / std);
}

// The log of the sum of the exponentials of some numbers.
function logOfSum(numbers) {
  const largest = Math.max(...numbers);
  return largest + Math.log(numbers.reduce((sum, v) => sum + Math.exp(v - largest), 0));
}

// Returns an operation (params (B, P, H, W), x (B, C, H, W)) -> (B,): a sum over pixels. `score(param, value, channels,
// options)` scores a pixel; param(k) is its k-th parameter, value(c) its level.
function sumOverPixels(score) {
  return ([params, x], options) => {
    const [rows, channels, height, width] = x.shape, size = height * width, wide = params.shape[1] * size;
    const sums = new Float32Array(rows);
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let i = 0; i < size; i++) {
        const param = k => keptWithin(params.data[r * wide + k * size + i], -LARGEST_PARAMETER, LARGEST_PARAMETER);
        sum += score(param, c => x.data[(r * channels + c) * size + i], channels, options);
      }
      sums[r] = sum;
    }
    return tensor([rows], sums);
  };
}

// Returns such a sum over the channels too: score(param, c, value, channels, options).
const sumOverChannels = score => sumOverPixels((param, value, channels, options) => {
  let sum = 0;
  for (let c = 0; c < channels; c++) sum += score(param, c, value(c), channels, options);
  return sum;
});

// Returns an operation params (B, P, H, W) -> (B, C, H, W): `mean(param, options)` returns C numbers.
function meanOfPixels(mean) {
  return ([params], options) => {
    const [rows, wide, height, width] = params.shape, size = height * width, channels = options.channels;
    const found = new Float32Array(rows * channels * size);
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < size; i++) {
        const param = k => keptWithin(params.data[(r * wide + k) * size + i], -LARGEST_PARAMETER, LARGEST_PARAMETER);
        mean(param, options).forEach((v, c) => { found[(r * channels + c) * size + i] = v; });
      }
    }
    return tensor([rows, channels, height, width], found);
  };
}

const listOf = (n, f) => Array.from({length: n}, (_, i) => f(i));

// Returns of a pixel of a mixture: the log-weights of its components, and by component the parameters' place and the mean of
// a channel, given those before it.
function mixtureOf(param, channels, mixtures) {
  const per = 1 + 2 * channels + channels * (channels - 1) / 2, logits = listOf(mixtures, k => param(k * per)), sum = logOfSum(logits);
  return {
    logWeights: logits.map(v => v - sum),
    logScale: (k, c) => param(k * per + 1 + channels + c),
    meanOf(k, c, earlier) {
      let mean = param(k * per + 1 + c);
      for (let i = 0; i < c; i++) mean += Math.tanh(param(k * per + 1 + 2 * channels + c * (c - 1) / 2 + i)) * earlier[i];
      return mean;
    },
  };
}

export const LIKELIHOOD_OPS = {
  bernoulli_log_prob: sumOverChannels((param, c, value) => logOfSigmoid((2 * value - 1) * param(c))),
  categorical_mean: meanOfPixels((param, {channels, levels}) => listOf(channels, c => {
    const logits = listOf(levels, v => param(c * levels + v)), sum = logOfSum(logits);
    return logits.reduce((mean, logit, v) => mean + v * Math.exp(logit - sum), 0);
  })),
  categorical_log_prob: sumOverChannels((param, c, value, channels, {levels}) =>
    param(c * levels + value) - logOfSum(listOf(levels, v => param(c * levels + v)))),
  gaussian_log_prob: sumOverChannels((param, c, value, channels, {levels, log_std}) =>
    logNormalMass(value * 2 / (levels - 1) - 1, param(c), log_std.data[0], 1 / (levels - 1))),
  logistic_log_prob: sumOverChannels((param, c, value, channels, {levels}) =>
    logLogisticMass(value * 2 / (levels - 1) - 1, param(c), param(channels + c), 1 / (levels - 1))),
  mixture_mean: meanOfPixels((param, {channels, levels, mixtures}) => {
    const {logWeights, meanOf} = mixtureOf(param, channels, mixtures), expected = new Float64Array(channels);
    logWeights.forEach((logWeight, k) => {
      const own = [];
      for (let c = 0; c < channels; c++) {
        own.push(keptWithin(meanOf(k, c, own), -1, 1));
        expected[c] += Math.exp(logWeight) * own[c];
      }
    });
    return expected.map(v => keptWithin((v + 1) * (levels - 1) / 2, 0, levels - 1));
  }),
  mixture_log_prob: sumOverPixels((param, value, channels, {levels, mixtures}) => {
    const {logWeights, logScale, meanOf} = mixtureOf(param, channels, mixtures);
    const y = listOf(channels, c => value(c) * 2 / (levels - 1) - 1);
    return logOfSum(logWeights.map((logWeight, k) => y.reduce((sum, v, c) =>
      sum + logLogisticMass(v, meanOf(k, c, y), logScale(k, c), 1 / (levels - 1)), logWeight)));
  }),
};
