// Where pictures come from, beside strokes: test images of the data, and files that are chosen or dropped.
import { tensor } from "./tensor.js";
import { bytesOf } from "./weights.js";
import { paint } from "./picture.js";
import { firstFile, nameOf, readPicture } from "./image_file.js";
import { boxMeans, hasBrightBorder, middleOf, over } from "./shape.js";

// A picture is {planes: one per channel at the size of the data, look: canvas, boxes: its part that is shown, coarse, inverted, label}.
// Calls take(picture) with each; `say` tells what came, or why nothing did.
export function openSources(root, content, app, take, say) {
  const [channels, rows, columns] = app.content.shape, levels = app.content.levels, input = root.querySelector("[data-of=file]");
  const asPicture = (look, values) => ({look, boxes: middleOf(look, rows, columns), inverted: false, label: null, coarse: false, ...values});

  let newest = 0;  // a large file may be read after a small one that was chosen later

  async function open(files, items) {
    const own = ++newest;
    try {
      const {file, note} = firstFile(files, items);
      say(`Reading ${nameOf(file)} …`);
      const {look, width, height} = await readPicture(file, rows, columns), boxes = middleOf(look, rows, columns);
      const pixels = look.getContext("2d").getImageData(0, 0, look.width, look.height);
      const background = content.paper.map(v => new Float32Array(rows * columns).fill(v));
      const planes = over(boxMeans(pixels, boxes, rows, columns), background);
      const inverted = content.plain_paper && hasBrightBorder(planes[0], rows, columns) === (content.ink === "bright");
      if (own !== newest) return;
      take(asPicture(look, {planes, inverted}));
      say(`${nameOf(file)} is shown, ${width} by ${height} pixels${inverted ? ", inverted as the data are" : ""}.${note}`);
    } catch (error) { if (own === newest) say(error.message); }
  }

  input.addEventListener("change", async () => {
    await open([...input.files]);
    input.value = "";  // so that the same file can be chosen again
  });
  openDrop(root, event => open([...event.dataTransfer.files], event.dataTransfer.items));
  openTestImages(root, content, (data, label, text) => {
    const look = document.createElement("canvas"), size = rows * columns;
    paint(look, tensor([channels, rows, columns], data), levels);
    const planes = Array.from({length: channels}, (_, c) => Float32Array.from(data.subarray(c * size, (c + 1) * size), v => v / (levels - 1)));
    take(asPicture(look, {planes, label, coarse: true}));
    say(text);
  });
}

// Takes what is dropped anywhere, since a browser would leave the page for a file or a link; but text may go into a field.
function openDrop(root, dropped) {
  const isOurs = event => event.dataTransfer && (event.dataTransfer.types.includes("Files") || event.target.localName !== "input");
  document.addEventListener("dragover", event => {
    if (!isOurs(event)) return;
    event.preventDefault();
    root.classList.toggle("dropping", event.dataTransfer.types.includes("Files"));
  });
  document.addEventListener("dragleave", event => { if (!event.relatedTarget) root.classList.remove("dropping"); });
  document.addEventListener("drop", event => {
    root.classList.remove("dropping");
    if (!isOurs(event)) return;
    event.preventDefault();
    dropped(event);
  });
}

// Shows the test images of the content one after another, at the button for them.
function openTestImages(root, {images, labels, count}, show) {
  const button = root.querySelector("[data-do=test]");
  if (!count) return;
  const bytes = bytesOf(images), size = bytes.length / count;
  let next = 0;
  button.hidden = false;
  button.addEventListener("click", () => {
    const label = labels?.[next] ?? null;
    show(bytes.subarray(next * size, (next + 1) * size), label, `Test image ${next + 1} of ${count} is shown.`);
    next = (next + 1) % count;
  });
}
