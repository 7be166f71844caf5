// Brings what is drawn or read to the shape of the model. Pure functions of pixels; nothing here knows the page.
// A picture is {data: RGBA bytes, width, height}, as of getImageData; planes are Float32Arrays of rows * columns values in [0, 1].

// Returns for each of `count` boxes of one direction where it lies in `length` pixels: {from, weights}, whose sum is 1 inside.
function overlaps(start, step, count, length) {
  return Array.from({length: count}, (_, i) => {
    const low = start + i * step, high = low + step;
    const from = Math.max(Math.floor(low), 0), to = Math.min(Math.ceil(high), length), weights = [];
    for (let p = from; p < to; p++) weights.push((Math.min(high, p + 1) - Math.max(low, p)) / step);
    return {from, weights};
  });
}

// Returns the means of a picture over boxes of step * step pixels, the first at (x, y): 4 planes, red, green and blue times alpha, and
// alpha. Outside of the picture all is transparent.
export function boxMeans(picture, {x, y, step}, rows, columns) {
  const across = overlaps(x, step, columns, picture.width), down = overlaps(y, step, rows, picture.height);
  const planes = Array.from({length: 4}, () => new Float32Array(rows * columns)), lines = new Map();
  // a line of the picture, averaged across: columns * 4 sums
  const line = r => {
    if (lines.has(r)) return lines.get(r);
    const sums = new Float64Array(4 * columns), start = 4 * r * picture.width;
    across.forEach(({from, weights}, j) => {
      for (let k = 0, p = start + 4 * from; k < weights.length; k++, p += 4) {
        const alpha = weights[k] * picture.data[p + 3] / 255;
        if (!alpha) continue;
        for (let c = 0; c < 3; c++) sums[4 * j + c] += alpha * picture.data[p + c] / 255;
        sums[4 * j + 3] += alpha;
      }
    });
    lines.set(r, sums);
    return sums;
  };
  down.forEach(({from, weights}, i) => {
    for (const old of lines.keys()) if (old < from) lines.delete(old);
    weights.forEach((weight, k) => {
      const sums = line(from + k);
      for (let j = 0; j < columns; j++) for (let c = 0; c < 4; c++) planes[c][i * columns + j] += weight * sums[4 * j + c];
    });
  });
  return planes;
}

// Returns the boxes {x, y, step} that cover the middle of a picture, cut to the shape of rows * columns.
export function middleOf({width, height}, rows, columns) {
  const step = Math.min(width / columns, height / rows);
  return {x: (width - step * columns) / 2, y: (height - step * rows) / 2, step};
}

// Returns the boxes {x, y, step} in which what is drawn lies as the data do: its longer side takes `extent` of the image, and its centre
// of mass is at `centre`, (row, column) as parts of the image. null where nothing is drawn. A dot is not blown up beyond 3 times.
export function fitted(picture, rows, columns, {extent, centre}) {
  const {data, width, height} = picture;
  let left = width, right = -1, top = height, bottom = -1, mass = 0, atX = 0, atY = 0;
  for (let r = 0, p = 3; r < height; r++) {
    for (let c = 0; c < width; c++, p += 4) {
      const alpha = data[p];
      if (!alpha) continue;
      mass += alpha;
      atX += alpha * (c + .5);
      atY += alpha * (r + .5);
      if (alpha < 128) continue;
      left = Math.min(left, c);
      right = Math.max(right, c);
      top = Math.min(top, r);
      bottom = r;
    }
  }
  if (right < 0) return null;
  const longer = Math.max((right + 1 - left) / columns, (bottom + 1 - top) / rows);
  const step = Math.max(longer / extent, middleOf(picture, rows, columns).step / 3);
  return {x: atX / mass - centre[1] * columns * step, y: atY / mass - centre[0] * rows * step, step};
}

// Returns planes, one per channel: what boxMeans gives, over a background of one plane per channel. With one channel the colours become
// grey (luma of Rec. 601); with `ink` in [0, 1] each colour counts as that grey.
export function over([red, green, blue, alpha], background, ink = null) {
  const means = background.length > 1 ? [red, green, blue]
    : [alpha.map((a, i) => ink === null ? .299 * red[i] + .587 * green[i] + .114 * blue[i] : ink * a)];
  return means.map((mean, c) => mean.map((v, i) => v + (1 - alpha[i]) * background[c][i]));
}

// Returns whole levels in {0, ..., levels - 1} of planes, channel after channel. Of two levels the bound is one half.
export function toLevels(planes, levels) {
  const data = new Float32Array(planes.length * planes[0].length);
  planes.forEach((plane, c) => plane.forEach((v, i) => {
    data[c * plane.length + i] = Math.min(Math.max(Math.floor(v * (levels - 1) + .5), 0), levels - 1);
  }));
  return data;
}

// Returns whether the outermost pixels of a plane are brighter than the others: dark ink on bright paper.
export function hasBrightBorder(plane, rows, columns) {
  const sums = [0, 0], counts = [0, 0];
  plane.forEach((v, i) => {
    const r = Math.floor(i / columns), c = i % columns, inside = +(r > 0 && c > 0 && r < rows - 1 && c < columns - 1);
    sums[inside] += v;
    counts[inside]++;
  });
  return sums[0] * counts[1] > sums[1] * counts[0];
}
