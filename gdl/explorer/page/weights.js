// Weights of 16 bits, see gdl/explorer/weights.py.
import { sizeOf } from "./tensor.js";

// Returns the tensors {shape, data: Float32Array} of one checkpoint {specs: [[shape, scale], ...], data}.
export function readTensors({specs, data}) {
  const bytes = bytesOf(data), sizes = specs.map(([shape]) => sizeOf(shape));
  let exact = 0, half = specs.reduce((sum, [, scale], i) => scale ? sum : sum + 4 * sizes[i], 0);
  return specs.map(([shape, scale], i) => {
    if (scale) {
      half += 2 * sizes[i];
      return {shape, data: fromHalves(new Uint16Array(bytes.buffer, half - 2 * sizes[i], sizes[i]), scale)};
    }
    exact += 4 * sizes[i];
    return {shape, data: new Float32Array(bytes.buffer, exact - 4 * sizes[i], sizes[i])};
  });
}

// Returns the bytes of a base64 text. Older browsers have no function of their own for it.
export function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

let halfValues = null;

// Returns the numbers that 16-bit floats stand for, times a scale; all 65536 are looked up in a table.
function fromHalves(halves, scale) {
  halfValues ??= Float64Array.from({length: 65536}, (_, h) => valueOfHalf(h));
  const out = new Float32Array(halves.length);
  for (let i = 0; i < out.length; i++) out[i] = scale * halfValues[halves[i]];
  return out;
}

function valueOfHalf(h) {
  const sign = h & 0x8000 ? -1 : 1, exponent = h >> 10 & 31, fraction = h & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}
