// Products of matrices, in which a network spends its time. Sums are kept for four rows and four columns at once.
// Factors of convolutions are strips of four lines, [lines / 4][depth][4], of Float64Array: numbers of 32 bits would be
// converted at each use. What is made of weights is kept with them; the room for the rest is used again.

// Returns x W^T + b, (..., out), of x (..., in) as a Float32Array; weight {shape: [out, in], data}.
export function linearProduct(x, weight, bias) {
  const [out, width] = weight.shape, rows = x.length / width, w = weight.data, y = new Float32Array(rows * out), whole = out - out % 4;
  for (let r = 0; r < rows; r++) {
    const first = r * width;
    for (let o = 0; o < whole; o += 4) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, a = o * width, b = a + width, c = b + width, d = c + width;
      for (let i = 0; i < width; i++) {
        const v = x[first + i];
        s0 += w[a + i] * v;
        s1 += w[b + i] * v;
        s2 += w[c + i] * v;
        s3 += w[d + i] * v;
      }
      const at = r * out + o;
      y[at] = s0;
      y[at + 1] = s1;
      y[at + 2] = s2;
      y[at + 3] = s3;
    }
    for (let o = whole; o < out; o++) {
      let sum = 0;
      for (let i = 0, a = o * width; i < width; i++) sum += w[a + i] * x[first + i];
      y[r * out + o] = sum;
    }
  }
  if (bias) for (let r = 0; r < rows; r++) for (let o = 0; o < out; o++) y[r * out + o] += bias.data[o];
  return y;
}

// Returns the convolution of a value (B, I, H, W), see gdl/explorer/ops.py.
export function convolution(x, weight, bias, [down, across] = [1, 1], [left, right, above, below] = [0, 0, 0, 0]) {
  const [rows, channels, height, width] = x.shape, [out, , high, wide] = weight.shape, depth = channels * high * wide;
  const lines = Math.floor((height + above + below - high) / down) + 1, columns = Math.floor((width + left + right - wide) / across) + 1;
  const pixels = lines * columns, y = new Float32Array(rows * out * pixels);
  weight.strips ??= strips(weight.data, out, depth);
  const patches = scratch(Math.ceil(pixels / 4) * 4 * depth);
  for (let r = 0; r < rows; r++) {
    const start = r * channels * height * width;
    for (let c = 0, k = 0; c < channels; c++) {
      for (let i = 0; i < high; i++) {
        for (let j = 0; j < wide; j++, k++) {
          for (let line = 0, pixel = 0; line < lines; line++) {
            const v = line * down + i - above, from = start + (c * height + v) * width + j - left;
            for (let column = 0, u = j - left; column < columns; column++, u += across, pixel++) {
              patches[((pixel >> 2) * depth + k) * 4 + (pixel & 3)] = v < 0 || v >= height || u < 0 || u >= width ? 0 : x.data[from + column * across];
            }
          }
        }
      }
    }
    stripProduct(weight.strips, patches, out, pixels, depth, y, r * out * pixels);
  }
  if (bias) addToMaps(y, bias.data, pixels);
  return {shape: [rows, out, lines, columns], data: y};
}

let scratchKept = new Float64Array(0);

// Returns an array of at least `size` numbers, with anything in it, that the next call may use again.
function scratch(size) {
  if (scratchKept.length < size) scratchKept = new Float64Array(size);
  return scratchKept;
}

// Returns a matrix (lines, depth) as strips.
function strips(data, lines, depth) {
  const out = new Float64Array(Math.ceil(lines / 4) * 4 * depth);
  for (let line = 0; line < lines; line++) {
    for (let k = 0; k < depth; k++) out[((line >> 2) * depth + k) * 4 + line % 4] = data[line * depth + k];
  }
  return out;
}

// Writes the products (rows, columns) of lines of a and lines of b, both strips, to y from a start on.
function stripProduct(a, b, rows, columns, depth, y, start) {
  const found = new Float64Array(16);
  for (let m = 0; m < rows; m += 4) {
    for (let n = 0; n < columns; n += 4) {
      let i = m * depth, j = n * depth;
      const end = i + 4 * depth;
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
      while (i < end) {
        const a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3], b0 = b[j], b1 = b[j + 1], b2 = b[j + 2], b3 = b[j + 3];
        s00 += a0 * b0; s01 += a0 * b1; s02 += a0 * b2; s03 += a0 * b3;
        s10 += a1 * b0; s11 += a1 * b1; s12 += a1 * b2; s13 += a1 * b3;
        s20 += a2 * b0; s21 += a2 * b1; s22 += a2 * b2; s23 += a2 * b3;
        s30 += a3 * b0; s31 += a3 * b1; s32 += a3 * b2; s33 += a3 * b3;
        i += 4;
        j += 4;
      }
      found[0] = s00; found[1] = s01; found[2] = s02; found[3] = s03;
      found[4] = s10; found[5] = s11; found[6] = s12; found[7] = s13;
      found[8] = s20; found[9] = s21; found[10] = s22; found[11] = s23;
      found[12] = s30; found[13] = s31; found[14] = s32; found[15] = s33;
      const high = Math.min(4, rows - m), wide = Math.min(4, columns - n);
      for (let u = 0; u < high; u++) {
        for (let v = 0, at = start + (m + u) * columns + n; v < wide; v++) y[at + v] = found[4 * u + v];
      }
    }
  }
}

// Adds a number of each map to maps (B, O, pixels).
function addToMaps(y, bias, pixels) {
  for (let map = 0, at = 0; at < y.length; map++) {
    const shift = bias[map % bias.length];
    for (let end = at + pixels; at < end; at++) y[at] += shift;
  }
}
