// Images on canvases.

// Paints an image {shape: [1, C, H, W] or [C, H, W], data} of values in [0, levels - 1]; one pixel a value.
export function paint(canvas, image, levels) {
  const [channels, height, width] = image.shape.slice(-3), size = height * width;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const pixels = new ImageData(width, height);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = Math.round(image.data[(channels === 3 ? c : 0) * size + i] * 255 / (levels - 1));
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// Returns a copy of a canvas whose pixels are enlarged by a whole number, to 512 and more, so that a saved file can be shown.
export function enlarged(canvas) {
  const times = Math.max(1, Math.ceil(512 / Math.min(canvas.width, canvas.height)));
  const copy = Object.assign(document.createElement("canvas"), {width: canvas.width * times, height: canvas.height * times});
  const context = copy.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, copy.width, copy.height);
  return copy;
}
