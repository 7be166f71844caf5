// A sheet of thumbnails, see gdl/explorer/thumbnails.py, tinted by class where it is ink on an empty ground.
import { colourOfClass } from "./palette.js";
import { colourOf } from "./theme.js";

// Returns {tint(), draw(context, i, x, y, side) -> whether image i has a thumbnail, has(i), copy(canvas, i)} when the picture is read.
export async function readSheet(content, labels) {
  const picture = new Image();
  picture.src = content.src;
  await picture.decode();
  const [width, height] = content.size, slot = new Map(content.of.map((i, k) => [i, k]));
  const plain = canvasOf(picture), tinted = canvasOf(picture), original = plain.getContext("2d").getImageData(0, 0, plain.width, plain.height);
  const ink = content.grey ? inkOf(original.data) : null;
  const corner = k => [k % content.columns * width, Math.floor(k / content.columns) * height];
  const colour = i => labels ? colourOfClass(labels[i]) : colourOf("--accent");
  return {
    has: i => slot.has(i),
    // Brings the colours to those of the page.
    tint() {
      if (!ink) return;
      const context = tinted.getContext("2d"), pixels = new ImageData(original.data.slice(), plain.width, plain.height);
      for (let p = 0; p < pixels.data.length; p += 4) pixels.data[p + 3] = ink(pixels.data[p]);
      context.putImageData(pixels, 0, 0);
      context.globalCompositeOperation = "source-atop";
      for (const [i, k] of slot) {
        context.fillStyle = colour(i);
        context.fillRect(...corner(k), width, height);
      }
      context.globalCompositeOperation = "source-over";
    },
    draw(context, i, x, y, side) {
      if (!slot.has(i)) return false;
      const scale = side / Math.max(width, height), w = width * scale, h = height * scale;
      context.imageSmoothingEnabled = scale * context.getTransform().a < 1;  // enlarged, pixels stay pixels
      context.drawImage(ink ? tinted : plain, ...corner(slot.get(i)), width, height, x - w / 2, y - h / 2, w, h);
      if (!ink && labels) {
        context.strokeStyle = colour(i);
        context.lineWidth = 2;
        context.strokeRect(x - w / 2, y - h / 2, w, h);
      }
      return true;
    },
    // Shows a thumbnail alone.
    copy(canvas, i) {
      Object.assign(canvas, {width, height});
      canvas.getContext("2d").drawImage(plain, ...corner(slot.get(i)), width, height, 0, 0, width, height);
    },
  };
}

function canvasOf(picture) {
  const canvas = Object.assign(document.createElement("canvas"), {width: picture.naturalWidth, height: picture.naturalHeight});
  canvas.getContext("2d", {willReadFrequently: true}).drawImage(picture, 0, 0);
  return canvas;
}

// Returns how opaque a grey of ink is, where the ground is nearly black or nearly white; null for other pictures.
function inkOf(data) {
  let black = 0, white = 0;
  for (let p = 0; p < data.length; p += 4) data[p] < 32 ? black++ : data[p] > 223 && white++;
  if (Math.max(black, white) < .4 * data.length / 4) return null;
  return black > white ? v => v : v => 255 - v;
}
