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

  async function open(files, items) {
    try {
      const {file, note} = firstFile(files, items);
      say(`Reading ${nameOf(file)} …`);
      const look = await readPicture(file, rows, columns), boxes = middleOf(look, rows, columns);
      const pixels = look.getContext("2d").getImageData(0, 0, look.width, look.height);
      const background = content.paper.map(v => new Float32Array(rows * columns).fill(v));
      const planes = over(boxMeans(pixels, boxes, rows, columns), background);
      const inverted = content.plain_paper && hasBrightBorder(planes[0], rows, columns) === (content.ink === "bright");
      take(asPicture(look, {planes, inverted}));
      say(`${nameOf(file)} is shown, ${look.width} by ${look.height} pixels${inverted ? ", inverted as the data are" : ""}.${note}`);
    } catch (error) { say(error.message); }
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

// Takes files that are dropped anywhere, since a browser would leave the page for one that is dropped beside the section.
function openDrop(root, dropped) {
  const hasFiles = event => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", event => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    root.classList.add("dropping");
  });
  document.addEventListener("dragleave", event => { if (!event.relatedTarget) root.classList.remove("dropping"); });
  document.addEventListener("drop", event => {
    root.classList.remove("dropping");
    if (!hasFiles(event)) return;
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
