// The operations of a network, see gdl/explorer/ops.py for what each of them means.
// An operation takes a list of values, and its tensors and options by name.
import { tensor, sizeOf } from "./tensor.js";
import { convolution } from "./convolution.js";
import { linearProduct } from "./products.js";
import { ACTIVATIONS } from "./activations.js";

export const OPS = {
  ...Object.fromEntries(Object.entries(ACTIVATIONS).map(([name, f]) => [name, ([x], options) => tensor(x.shape, f(x.data, options))])),
  linear: ([x], {weight, bias}) => tensor([...x.shape.slice(0, -1), weight.shape[0]], linearProduct(x.data, weight, bias)),
  conv2d: ([x], {weight, bias, stride, padding}) => convolution(x, weight, bias, stride, padding),
  add([a, b]) {
    const u = a.data, v = b.data, y = new Float32Array(u.length);
    for (let i = 0; i < y.length; i++) y[i] = u[i] + v[i];
    return tensor(a.shape, y);
  },
  sub([a, b]) {
    const u = a.data, v = b.data, y = new Float32Array(u.length);
    for (let i = 0; i < y.length; i++) y[i] = u[i] - v[i];
    return tensor(a.shape, y);
  },
  mul([a, b]) {
    const u = a.data, v = b.data, y = new Float32Array(u.length);
    for (let i = 0; i < y.length; i++) y[i] = u[i] * v[i];
    return tensor(a.shape, y);
  },
  maximum([a, b]) {
    const u = a.data, v = b.data, y = new Float32Array(u.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.max(u[i], v[i]);
    return tensor(a.shape, y);
  },
  add_tensor([x], {tensor: t}) {
    const u = x.data, v = t.data, size = v.length, y = new Float32Array(u.length);
    for (let start = 0; start < y.length; start += size) for (let i = 0; i < size; i++) y[start + i] = u[start + i] + v[i];
    return tensor(x.shape, y);
  },
  mul_tensor([x], {tensor: t}) {
    const u = x.data, v = t.data, size = v.length, y = new Float32Array(u.length);
    for (let start = 0; start < y.length; start += size) for (let i = 0; i < size; i++) y[start + i] = u[start + i] * v[i];
    return tensor(x.shape, y);
  },
  rows([y], {tensor: t}) {
    const rest = t.shape.slice(1), size = sizeOf(rest), out = new Float32Array(y.data.length * size);
    y.data.forEach((row, i) => out.set(t.data.subarray(row * size, (row + 1) * size), i * size));
    return tensor([y.data.length, ...rest], out);
  },
  reshape([x], {shape}) {
    const known = shape.reduce((a, b) => b < 0 ? a : a * b, 1), rest = sizeOf(x.shape.slice(1)) / known;
    return tensor([x.shape[0], ...shape.map(n => n < 0 ? rest : n)], x.data);
  },
  flatten([x], {start, end}) {
    const dims = x.shape.length, first = start < 0 ? start + dims : start, last = end < 0 ? end + dims : end;
    return tensor([...x.shape.slice(0, first), sizeOf(x.shape.slice(first, last + 1)), ...x.shape.slice(last + 1)], x.data);
  },
  concat(values) {
    const [rows, , ...rest] = values[0].shape, step = sizeOf(rest), wide = values.reduce((n, v) => n + v.shape[1], 0);
    const y = new Float32Array(rows * wide * step);
    for (let r = 0, at = 0; r < rows; r++) {
      for (const {shape, data} of values) {
        const size = shape[1] * step;
        y.set(data.subarray(r * size, (r + 1) * size), at);
        at += size;
      }
    }
    return tensor([rows, wide, ...rest], y);
  },
  narrow([x], {start, length}) {
    const [rows, wide, ...rest] = x.shape, step = sizeOf(rest), y = new Float32Array(rows * length * step);
    for (let r = 0; r < rows; r++) y.set(x.data.subarray((r * wide + start) * step, (r * wide + start + length) * step), r * length * step);
    return tensor([rows, length, ...rest], y);
  },
  take([x], {order}) {
    const [rows, wide, ...rest] = x.shape, step = sizeOf(rest), y = new Float32Array(rows * order.length * step);
    for (let r = 0, at = 0; r < rows; r++) {
      for (const from of order) {
        const start = (r * wide + from) * step;
        for (let i = 0; i < step; i++) y[at++] = x.data[start + i];
      }
    }
    return tensor([rows, order.length, ...rest], y);
  },
  resize([x], {size: [high, wide]}) {
    const [rows, channels, height, width] = x.shape, y = new Float32Array(rows * channels * high * wide);
    const across = nearestPixels(width, wide), down = nearestPixels(height, high);
    for (let map = 0, at = 0; map < rows * channels; map++) {
      for (let i = 0; i < high; i++) {
        const line = (map * height + down[i]) * width;
        for (let j = 0; j < wide; j++) y[at++] = x.data[line + across[j]];
      }
    }
    return tensor([rows, channels, high, wide], y);
  },
  pixel_shuffle([x], {factor: f}) {
    const [rows, wide, height, width] = x.shape, channels = wide / f ** 2, y = new Float32Array(x.data.length);
    eachSquare(rows * channels, height, width, f, (pixel, part) => { y[pixel] = x.data[part]; });
    return tensor([rows, channels, height * f, width * f], y);
  },
  pixel_unshuffle([x], {factor: f}) {
    const [rows, channels, high, wide] = x.shape, y = new Float32Array(x.data.length);
    eachSquare(rows * channels, high / f, wide / f, f, (pixel, part) => { y[part] = x.data[pixel]; });
    return tensor([rows, channels * f ** 2, high / f, wide / f], y);
  },
  softmax([x], {axis}) {
    const y = new Float32Array(x.data.length);
    eachLine(x.shape, axis, (start, step, n) => {
      const shift = logSumExp(x.data, start, step, n);
      for (let i = 0, at = start; i < n; i++, at += step) y[at] = Math.exp(x.data[at] - shift);
    });
    return tensor(x.shape, y);
  },
  logsumexp([x], {axis}) {
    const at = axis < 0 ? axis + x.shape.length : axis, found = [];
    eachLine(x.shape, axis, (start, step, n) => found.push(logSumExp(x.data, start, step, n)));
    return tensor(x.shape.filter((_, i) => i !== at), Float32Array.from(found));
  },
  sum([x]) {
    const rows = x.shape[0], size = x.data.length / rows, y = new Float32Array(rows);
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += x.data[r * size + i];
      y[r] = sum;
    }
    return tensor([rows], y);
  },
};

// Returns for each of `to` pixels the nearest of `from`, in single precision as PyTorch does.
function nearestPixels(from, to) {
  const scale = Math.fround(from / to);
  return Int32Array.from({length: to}, (_, i) => Math.min(Math.floor(Math.fround(i * scale)), from - 1));
}

// Calls move(pixel, part) for each pixel of maps (N, H f, W f) and its place in maps (N, f, f, H, W).
function eachSquare(maps, height, width, f, move) {
  let part = 0;
  for (let map = 0; map < maps; map++) {
    for (let a = 0; a < f; a++) {
      for (let b = 0; b < f; b++) {
        for (let i = 0; i < height; i++) {
          for (let j = 0; j < width; j++) move(((map * height + i) * f + a) * width * f + j * f + b, part++);
        }
      }
    }
  }
}

// Calls f(start, step, n) for each line of n numbers along a dimension, in the order of the others.
function eachLine(shape, axis, f) {
  const at = axis < 0 ? axis + shape.length : axis, n = shape[at], step = sizeOf(shape.slice(at + 1)), outer = sizeOf(shape.slice(0, at));
  for (let o = 0; o < outer; o++) for (let i = 0; i < step; i++) f(o * n * step + i, step, n);
}

// Returns the logarithm of the sum of exponentials of n numbers.
function logSumExp(data, start, step, n) {
  let largest = -Infinity, sum = 0;
  for (let i = 0, at = start; i < n; i++, at += step) largest = Math.max(largest, data[at]);
  if (!isFinite(largest)) return largest;
  for (let i = 0, at = start; i < n; i++, at += step) sum += Math.exp(data[at] - largest);
  return largest + Math.log(sum);
}
