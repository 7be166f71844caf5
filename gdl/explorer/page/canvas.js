// Section canvas: what is drawn or opened is encoded and decoded. See gdl/explorer/sections/canvas.py for its content.
import { tensor } from "./tensor.js";
import { paint } from "./picture.js";
import { colourOf } from "./theme.js";
import { openDrawing } from "./drawing.js";
import { drawByKeys, drawByPointer } from "./pen.js";
import { openReconstruction } from "./reconstruction.js";
import { openSources } from "./sources.js";
import { openTools } from "./tools.js";
import { boxMeans, fitted, over, toLevels } from "./shape.js";

export function openCanvas(root, content, app) {
  const [channels, rows, columns] = app.content.shape, find = selector => root.querySelector(selector);
  const sheet = find(".strokes"), paper = find(".paper"), seen = find(".seen"), scale = Math.max(1, Math.ceil(336 / Math.max(rows, columns)));
  for (const canvas of [sheet, paper]) Object.assign(canvas, {width: columns * scale, height: rows * scale});
  const say = text => { find("[role=status]").textContent = text; };
  const ink = () => colourOf("--fore");
  const tools = openTools(root, content, channels, {width: sheet.width, changed: () => changed(), undo: () => drawing.undo(), redo: () => drawing.redo(),
    clear: () => drawing.isEmpty() || drawing.add({cleared: true}), picture: () => drawing.picture()});
  const drawing = openDrawing(sheet, ink, () => changed());
  const reconstruction = openReconstruction(root, app, say);

  // what is on the sheet, in the shape of the model
  function shaped() {
    const pixels = drawing.pixels(), picture = drawing.picture(), plain = {x: 0, y: 0, step: scale};
    const boxes = !picture && tools.fits() && fitted(pixels, rows, columns, content.fit) || plain;
    const below = picture ? picture.planes.map(plane => picture.inverted ? plane.map(v => 1 - v) : plane)
      : tools.background().map(v => new Float32Array(rows * columns).fill(v));
    const grey = channels === 1 ? +(content.ink === "bright") : null;
    return tensor([1, channels, rows, columns], toLevels(over(boxMeans(pixels, boxes, rows, columns), below, grey), app.content.levels));
  }
  function showPaper() {
    const picture = drawing.picture(), context = paper.getContext("2d");
    context.clearRect(0, 0, paper.width, paper.height);
    paper.classList.toggle("coarse", !!picture?.coarse);
    if (picture) {
      const {x, y, step} = picture.boxes;
      context.imageSmoothingEnabled = !picture.coarse;
      context.drawImage(picture.look, x, y, step * columns, step * rows, 0, 0, paper.width, paper.height);
    } else if (channels > 1) {
      context.fillStyle = tools.paper();
      context.fillRect(0, 0, paper.width, paper.height);
    }
  }
  function changed() {
    showPaper();
    tools.show(drawing);
    reconstruction.of(() => {
      const image = shaped();
      paint(seen, image, app.content.levels);
      return {image, picture: drawing.picture(), empty: drawing.isEmpty()};
    });
  }

  drawByPointer(sheet, drawing, tools.stroke);
  drawByKeys(sheet, find(".pen"), drawing, tools.stroke, scale, say);
  openSources(root, content, app, picture => drawing.add({picture}), say);
  app.on("theme", () => drawing.repaint());
  changed();
}
