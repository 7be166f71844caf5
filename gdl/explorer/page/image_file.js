// Reads a picture from a file of the reader's. What is wrong is one sentence, thrown as an Error.
import { middleOf } from "./shape.js";

const MOST_PIXELS = 40e6, MOST_BYTES = 100e6, WORKING = 2048;

// Returns [width, height] as the head of a PNG, GIF, JPEG or WebP file says it, before anything is decoded; null where it does not.
export function statedSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), text = (at, n) => String.fromCharCode(...bytes.slice(at, at + n));
  if (bytes.length < 30) return null;
  if (text(1, 3) === "PNG") return [view.getUint32(16), view.getUint32(20)];
  if (text(0, 3) === "GIF") return [view.getUint16(6, true), view.getUint16(8, true)];
  if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") {
    const three = at => view.getUint16(at, true) + (bytes[at + 2] << 16);
    if (text(12, 4) === "VP8X") return [three(24) + 1, three(27) + 1];
    if (text(12, 4) === "VP8L") return [1 + (view.getUint16(21, true) & 0x3fff), 1 + (view.getUint32(21, true) >>> 14 & 0x3fff)];
    return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  }
  if (view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff;) {
    const kind = bytes[at + 1];
    if (kind >= 0xc0 && kind <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(kind)) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += kind === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return null;
}

// Returns the name of a file, cut where it is long.
export const nameOf = ({name}) => name.length > 60 ? `${name.slice(0, 40)} … ${name.slice(-15)}` : name;

function refuseHuge([width, height], name) {
  if (width * height <= MOST_PIXELS) return;
  throw new Error(`${name} has ${Math.round(width * height / 1e6)} million pixels, and this page reads up to ${MOST_PIXELS / 1e6} million: make it smaller first.`);
}

// Returns the bitmap of a file, turned as its EXIF orientation says.
async function bitmapOf(file) {
  const name = nameOf(file);
  if (!file.size) throw new Error(`${name} is empty: choose another picture.`);
  if (file.size > MOST_BYTES) throw new Error(`${name} has ${Math.round(file.size / 1e6)} MB, and this page reads up to ${MOST_BYTES / 1e6} MB: make it smaller first.`);
  let bytes;
  try { bytes = new Uint8Array(await file.arrayBuffer()); }
  catch { throw new Error(`${name} cannot be read: choose a picture file, not a folder.`); }
  refuseHuge(statedSize(bytes) ?? [0, 0], name);
  let bitmap;
  try { bitmap = await createImageBitmap(file, {imageOrientation: "from-image"}); }
  catch { throw new Error(`${name} is no picture that this browser reads, or it is damaged: choose a PNG, JPEG, WebP or GIF file.`); }
  refuseHuge([bitmap.width, bitmap.height], name);
  return bitmap;
}

// Returns the picture in a file as {look: a canvas, and width and height of the file's}. Of a larger one than 2048 pixels a side it is the middle, cut to the proportions of
// rows * columns and made smaller.
export async function readPicture(file, rows, columns) {
  const bitmap = await bitmapOf(file), {width, height} = bitmap, large = Math.max(width, height) > WORKING;
  const {x, y, step} = large ? middleOf(bitmap, rows, columns) : {x: 0, y: 0};
  const [w, h] = large ? [step * columns, step * rows] : [width, height], scale = Math.min(1, WORKING / Math.max(w, h));
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d", {willReadFrequently: true});
  Object.assign(canvas, {width: Math.max(Math.round(w * scale), 1), height: Math.max(Math.round(h * scale), 1)});
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, x, y, w, h, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return {look: canvas, width, height};
}

// Returns {file, note} of what was dropped or chosen: the first file, and a sentence if there were more.
export function firstFile(files, items = []) {
  if ([...items].some(item => item.webkitGetAsEntry?.()?.isDirectory)) throw new Error("That is a folder: choose one picture file.");
  if (!files.length) throw new Error("There is no file in that: choose or drop a picture file.");
  return {file: files[0], note: files.length > 1 ? ` The first of ${files.length} files was taken.` : ""};
}
