// Convolutions as products of matrices: of 3x3 and stride 1 by Winograd's method, of others of patches.
// What is made of weights is kept with them.
import { placeInStrip, scratch, sizeOfStrips, stripProduct } from "./products.js";
import { winograd } from "./winograd.js";

// Returns the convolution of a value (B, I, H, W), see gdl/explorer/ops.py.
export function convolution(x, weight, bias, [down, across] = [1, 1], [left, right, above, below] = [0, 0, 0, 0]) {
  const [rows, , height, width] = x.shape, [out, , high, wide] = weight.shape;
  const lines = Math.floor((height + above + below - high) / down) + 1, columns = Math.floor((width + left + right - wide) / across) + 1;
  const y = {shape: [rows, out, lines, columns], data: new Float32Array(rows * out * lines * columns)};
  const shift = bias ? bias.data : new Float32Array(out);
  if (high === 3 && wide === 3 && down === 1 && across === 1) winograd(x, weight, shift, left, above, y);
  else ofPatches(x, weight, shift, [down, across], [left, above], y);
  return y;
}

// Writes a convolution to y, image by image, as the product of the weights and of the patches that they are laid on.
function ofPatches(x, weight, shift, steps, corner, y) {
  const out = weight.shape[0], depth = weight.data.length / out, pixels = y.shape[2] * y.shape[3];
  weight.strips ??= asStrips(weight.data, out, depth);
  const patches = scratch("factor", sizeOfStrips(pixels, depth)), products = scratch("products", out * pixels);
  for (let r = 0, at = 0; r < x.shape[0]; r++) {
    gatherPatches(x, r, weight.shape, steps, corner, y.shape, patches);
    stripProduct(weight.strips, 0, patches, 0, out, pixels, depth, products, 0);
    for (let o = 0, from = 0; o < out; o++) for (let i = 0; i < pixels; i++) y.data[at++] = products[from++] + shift[o];
  }
}

// Writes the patches of an image as strips: a line for each pixel of the result.
function gatherPatches(x, row, [, , high, wide], [down, across], [left, above], [, , lines, columns], patches) {
  const [, channels, height, width] = x.shape, depth = channels * high * wide, data = x.data;
  for (let c = 0, k = 0; c < channels; c++) {
    for (let i = 0; i < high; i++) {
      for (let j = 0; j < wide; j++, k++) {
        for (let line = 0, pixel = 0; line < lines; line++) {
          const v = line * down + i - above, from = ((row * channels + c) * height + v) * width, inside = v >= 0 && v < height;
          for (let u = j - left, end = u + columns * across; u < end; u += across, pixel++) {
            patches[placeInStrip(pixel, k, depth)] = inside && u >= 0 && u < width ? data[from + u] : 0;
          }
        }
      }
    }
  }
}

// Returns a matrix (lines, depth) as strips.
function asStrips(data, lines, depth) {
  const strips = new Float64Array(sizeOfStrips(lines, depth));
  for (let line = 0; line < lines; line++) for (let k = 0; k < depth; k++) strips[placeInStrip(line, k, depth)] = data[line * depth + k];
  return strips;
}
