// The terms of an image: how well its reconstruction fits, and what its code costs.
import { tensor } from "./ops.js";

// Returns the numbers of an image {shape: [1, C, H, W], data: levels} of class y (or null), as far as the model has them:
// {squared_error (mean over the pixels, in [0, 1]), rate and distortion (nats)}.
export async function terms(app, image, y) {
  const labels = y === null ? {} : {y: tensor([1], Float32Array.of(y))}, scale = 1 / (app.content.levels - 1);
  const {mean, log_std} = await app.model.run("encode", {x: image, ...labels});
  const decoded = (await app.model.run("decode", {z: mean, ...labels})).image;
  const numbers = {squared_error: image.data.reduce((sum, v, i) => sum + ((v - decoded.data[i]) * scale) ** 2, 0) / image.data.length};
  if (!log_std) return numbers;
  numbers.rate = mean.data.reduce((sum, m, i) => sum + (m * m + Math.exp(2 * log_std.data[i]) - 1) / 2 - log_std.data[i], 0);
  if (app.model.has("distortion")) {
    numbers.distortion = Object.values(await app.model.run("distortion", {x: image, z: mean, ...labels}))[0].data[0];
  }
  return numbers;
}
