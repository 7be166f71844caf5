// Weights of 16 bits, see gdl/explorer/weights.py.

// Returns the numbers that 16-bit floats stand for.
function fromHalves(halves, scale) {
  const out = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const h = halves[i], sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    out[i] = scale * sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  }
  return out;
}

// Returns the tensors {shape, data} of one checkpoint.
export function readTensors(packed) {
  const text = atob(packed.data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  let at = 0;
  return packed.specs.map(({shape, scale}) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = fromHalves(new Uint16Array(bytes.buffer, at, count), scale);
    at += 2 * count;
    return {shape, data};
  });
}
