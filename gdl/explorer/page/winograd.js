// Convolutions of 3x3 with a quarter of the multiplications: Lavin & Gray, 2016, "Fast algorithms for convolutional neural
// networks", arXiv 1509.09308, F(4x4, 3x3). Tiles of 6x6 numbers of the image, 4x4 of the result, become 36 numbers in which
// the convolution is one product of matrices each.
import { placeInStrip, scratch, sizeOfStrips, stripProduct } from "./products.js";

const TILE_PLACES = 36, tileNumbers = new Float64Array(TILE_PLACES);

// Writes the convolution of a value (B, I, H, W) with weights (O, I, 3, 3), plus a shift for each map, to a value y. Above and left
// of the image are zeros.
export function winograd(x, weight, shift, left, above, y) {
  const [out, channels] = weight.shape, count = Math.ceil(y.shape[2] / 4) * Math.ceil(y.shape[3] / 4);
  weight.winograd ??= tilesOfWeights(weight.data, out, channels);
  const ofWeights = distanceOfPlaces(out, channels), ofTiles = distanceOfPlaces(count, channels), ofProducts = out * count + 8;
  const tiles = scratch("factor", TILE_PLACES * ofTiles), products = scratch("products", TILE_PLACES * ofProducts);
  for (let row = 0; row < x.shape[0]; row++) {
    tilesOfImage(x, row, left, above, y.shape, tiles, ofTiles);
    for (let p = 0; p < TILE_PLACES; p++) {
      stripProduct(weight.winograd, p * ofWeights, tiles, p * ofTiles, out, count, channels, products, p * ofProducts);
    }
    imageOfTiles(products, ofProducts, shift, y, row);
  }
}

// Returns the distance of the strips of two places. Without the 8 the 36 places would often share a few lines of the cache.
const distanceOfPlaces = (lines, depth) => sizeOfStrips(lines, depth) + 8;

// Returns the transformed weights: strips for each of the 36 places.
function tilesOfWeights(data, out, channels) {
  const size = distanceOfPlaces(out, channels), found = new Float64Array(TILE_PLACES * size);
  for (let o = 0, from = 0; o < out; o++) {
    for (let c = 0; c < channels; c++, from += 9) {
      for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) tileNumbers[6 * i + j] = data[from + 3 * i + j];
      for (let i = 0; i < 3; i++) weightLine(6 * i, 1);
      for (let j = 0; j < 6; j++) weightLine(j, 6);
      for (let p = 0, at = placeInStrip(o, c, channels); p < TILE_PLACES; p++, at += size) found[at] = tileNumbers[p];
    }
  }
  return found;
}

// Writes the transformed tiles of an image, strips with a line for each tile at each place.
function tilesOfImage(x, row, left, above, [, , lines, columns], tiles, size) {
  const [, channels, height, width] = x.shape, data = x.data;
  for (let c = 0; c < channels; c++) {
    const from = (row * channels + c) * height * width;
    for (let v = -above, count = 0; v < lines - above; v += 4) {
      for (let u = -left; u < columns - left; u += 4, count++) {
        for (let i = 0, p = 0; i < 6; i++) {
          const inside = v + i >= 0 && v + i < height, line = from + (v + i) * width;
          for (let j = u; j < u + 6; j++, p++) tileNumbers[p] = inside && j >= 0 && j < width ? data[line + j] : 0;
        }
        for (let i = 0; i < 6; i++) imageLine(6 * i, 1);
        for (let j = 0; j < 6; j++) imageLine(j, 6);
        for (let p = 0, at = placeInStrip(count, c, channels); p < TILE_PLACES; p++, at += size) tiles[at] = tileNumbers[p];
      }
    }
  }
}

// Writes an image of the result, with its shift, from the products.
function imageOfTiles(products, size, shift, y, row) {
  const [, out, lines, columns] = y.shape, data = y.data;
  for (let o = 0, from = 0; o < out; o++) {
    const map = (row * out + o) * lines * columns;
    for (let v = 0; v < lines; v += 4) {
      for (let u = 0; u < columns; u += 4, from++) {
        for (let p = 0, at = from; p < TILE_PLACES; p++, at += size) tileNumbers[p] = products[at];
        for (let i = 0; i < 6; i++) resultLine(6 * i, 1);
        for (let j = 0; j < 4; j++) resultLine(j, 6);
        const high = Math.min(4, lines - v), wide = Math.min(4, columns - u);
        for (let i = 0; i < high; i++) {
          for (let j = 0, at = map + (v + i) * columns + u; j < wide; j++) data[at + j] = tileNumbers[6 * i + j] + shift[o];
        }
      }
    }
  }
}

// Transform one line of the tile in place, from a start in steps: 3 weights to 6 numbers, 6 numbers of an image, 6 to 4 of the result.

function weightLine(at, step) {
  const t = tileNumbers;
  const a = t[at], b = t[at + step], c = t[at + 2 * step];
  t[at] = a / 4;
  t[at + step] = -(a + b + c) / 6;
  t[at + 2 * step] = -(a - b + c) / 6;
  t[at + 3 * step] = a / 24 + b / 12 + c / 6;
  t[at + 4 * step] = a / 24 - b / 12 + c / 6;
  t[at + 5 * step] = c;
}

function imageLine(at, step) {
  const t = tileNumbers;
  const a = t[at], b = t[at + step], c = t[at + 2 * step], d = t[at + 3 * step], e = t[at + 4 * step], f = t[at + 5 * step];
  t[at] = 4 * a - 5 * c + e;
  t[at + step] = e - 4 * c + (d - 4 * b);
  t[at + 2 * step] = e - 4 * c - (d - 4 * b);
  t[at + 3 * step] = e - c + 2 * (d - b);
  t[at + 4 * step] = e - c - 2 * (d - b);
  t[at + 5 * step] = 4 * b - 5 * d + f;
}

function resultLine(at, step) {
  const t = tileNumbers;
  const sum = t[at + step] + t[at + 2 * step], difference = t[at + step] - t[at + 2 * step];
  const far = t[at + 3 * step] + t[at + 4 * step], farDifference = t[at + 3 * step] - t[at + 4 * step];
  t[at] = t[at] + sum + far;
  t[at + step] = difference + 2 * farDifference;
  t[at + 2 * step] = sum + 4 * far;
  t[at + 3 * step] = difference + 8 * farDifference + t[at + 5 * step];
}
