// The operations of a network, see gdl/explorer/ops.py for what each of them means.
// A value is {shape: [B, ...], data: Float32Array}.
import { FLOW_OPS } from "./flow_ops.js";

export const tensor = (shape, data) => ({shape, data});
export const sizeOf = shape => shape.reduce((a, b) => a * b, 1);

const each = f => x => tensor(x.shape, x.data.map(f));

export const OPS = {
  linear([x], {weight, bias}) {
    const [out, width] = weight.shape, rows = x.data.length / width, y = new Float32Array(rows * out);
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < out; o++) {
        let sum = bias ? bias.data[o] : 0;
        for (let i = 0, w = o * width, v = r * width; i < width; i++) sum += weight.data[w + i] * x.data[v + i];
        y[r * out + o] = sum;
      }
    }
    return tensor([...x.shape.slice(0, -1), out], y);
  },
  relu: ([x]) => each(v => Math.max(v, 0))(x),
  silu: ([x]) => each(v => v / (1 + Math.exp(-v)))(x),
  tanh: ([x]) => each(Math.tanh)(x),
  sigmoid: ([x]) => each(v => 1 / (1 + Math.exp(-v)))(x),
  add: ([a, b]) => tensor(a.shape, a.data.map((v, i) => v + b.data[i])),
  add_tensor: ([x], {tensor: t}) => tensor(x.shape, x.data.map((v, i) => v + t.data[i % t.data.length])),
  affine: ([x], {scale, shift}) => each(v => v * scale + shift)(x),
  clamp: ([x], {low, high}) => each(v => Math.min(Math.max(v, low), high))(x),
  reshape([x], {shape}) {
    const known = shape.reduce((a, b) => b < 0 ? a : a * b, 1), rest = x.data.length / x.shape[0] / known;
    return tensor([x.shape[0], ...shape.map(n => n < 0 ? rest : n)], x.data);
  },
  narrow([x], {start, length}) {
    const [rows, wide, ...rest] = x.shape, step = sizeOf(rest), y = new Float32Array(rows * length * step);
    for (let r = 0; r < rows; r++) y.set(x.data.subarray((r * wide + start) * step, (r * wide + start + length) * step), r * length * step);
    return tensor([rows, length, ...rest], y);
  },
  ...FLOW_OPS,
};
