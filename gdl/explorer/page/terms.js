// The terms of the bound of an image, and the error of its reconstruction.
import { normals } from "./draws.js";
import { tensor } from "./tensor.js";

// Returns the rate KL(q(z | x), N(0, I)) in nats of means and log standard deviations: {each: of each number, total}.
export function rate(mean, logStd) {
  const each = Float64Array.from(mean, (m, i) => (m * m + Math.expm1(2 * logStd[i]) - 2 * logStd[i]) / 2);
  return {each, total: each.reduce((sum, v) => sum + v, 0)};
}

// Returns a value (1, ...) n times, (n, ...).
function repeated(value, n) {
  const size = value.data.length;
  return tensor([n, ...value.shape.slice(1)], Float32Array.from({length: n * size}, (_, i) => value.data[i % size]));
}

// Returns {reconstruction, squared_error, psnr, rate, distortion, log_prob} of an image (1, C, H, W) of whole levels and a class or null.
// The squared error is the mean over pixels in [0, 1], and the peak signal-to-noise ratio is in decibels; both are of the image
// that the codes decode to, of a VAE the means. Rate and distortion are in nats, null for a model without them; the distortion
// is the mean of -log p(x | z) over draws of z, so that distortion + rate estimates the negative ELBO. log_prob is one draw of a flow's bound of log P(x), null without a program for it.
export async function terms(app, image, y = app.y, draws = 8) {
  const labels = n => y === null ? {} : {y: tensor([n], new Float32Array(n).fill(y))};
  const {mean, log_std: logStd} = await app.model.run("encode", {x: image, ...labels(1)});
  const reconstruction = (await app.model.run("decode", {z: mean, ...labels(1)})).image, highest = app.content.levels - 1;
  const error = image.data.reduce((sum, v, i) => sum + ((v - reconstruction.data[i]) / highest) ** 2, 0) / image.data.length;
  const found = {reconstruction, squared_error: error, psnr: -10 * Math.log10(Math.max(error, 1e-10)), rate: null, distortion: null, log_prob: null};
  if (app.model.has("log_prob")) found.log_prob = (await app.model.run("log_prob", {x: image, ...labels(1)})).log_prob.data[0];
  if (!logStd || !app.model.has("distortion")) return found;
  const codes = repeated(mean, draws), spread = repeated(logStd, draws), noise = normals(0, codes.data.length);
  const z = tensor(codes.shape, codes.data.map((v, i) => v + Math.exp(spread.data[i]) * noise[i]));
  const {distortion} = await app.model.run("distortion", {x: repeated(image, draws), z, ...labels(draws)});
  return {...found, rate: rate(mean.data, logStd.data).total, distortion: distortion.data.reduce((sum, v) => sum + v, 0) / draws};
}
