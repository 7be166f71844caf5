// Products of matrices, in which a network spends its time. Sixteen sums run at once: four rows of one factor with four of the other.
// Factors are strips of four lines, [lines / 4][depth][4], of Float64Array: numbers of 32 bits would be converted at each use.

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

const scratchArrays = {}, sixteenSums = new Float64Array(16);

// Returns an array for passing results, of at least `size` numbers, with anything in it: the next call with this name may use it.
export function scratch(name, size) {
  if (!scratchArrays[name] || scratchArrays[name].length < size) scratchArrays[name] = new Float64Array(size);
  return scratchArrays[name];
}

// Returns the place in strips of a number of a line.
export const placeInStrip = (line, k, depth) => ((line >> 2) * depth + k) * 4 + (line & 3);

// Returns how many numbers the strips of a matrix (lines, depth) take.
export const sizeOfStrips = (lines, depth) => Math.ceil(lines / 4) * 4 * depth;

// Writes the products (rows, columns) of the lines of a and of b, strips of this depth that start at i0 and j0, to y from a start on.
export function stripProduct(a, i0, b, j0, rows, columns, depth, y, start) {
  for (let m = 0; m < rows; m += 4) {
    for (let n = 0; n < columns; n += 4) {
      let i = i0 + m * depth, j = j0 + n * depth;
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
      const t = sixteenSums;
      t[0] = s00; t[1] = s01; t[2] = s02; t[3] = s03; t[4] = s10; t[5] = s11; t[6] = s12; t[7] = s13;
      t[8] = s20; t[9] = s21; t[10] = s22; t[11] = s23; t[12] = s30; t[13] = s31; t[14] = s32; t[15] = s33;
      const high = Math.min(4, rows - m), wide = Math.min(4, columns - n);
      for (let u = 0; u < high; u++) {
        for (let v = 0, at = start + (m + u) * columns + n; v < wide; v++) y[at + v] = t[4 * u + v];
      }
    }
  }
}
