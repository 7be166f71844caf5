// The stage: the one big picture that the current latents decode to, what is said of it, and its file.
import { enlarged, paint } from "./picture.js";

// Returns the current latents and class in words.
function words(app) {
  const z = [...app.z], class_ = app.y === null ? "" : `, class ${app.content.classes[app.y] ?? "unknown"}`;
  const number = v => v.toFixed(2).replace("-", "−");
  if (z.length <= 4) return `${z.length === 1 ? "latent" : "latents"} ${z.map(number).join(", ")}${class_}`;
  return `${z.length} latents, distance ${number(Math.hypot(...z))} from 0${class_}`;
}

// Shows each decoded image; `app` as of app.js. Vectors, which are no images, are shown as numbers.
export function openStage(app) {
  const [canvas, code, time, said, save] = ["decoded", "code", "time", "said", "save"].map(id => document.getElementById(id));
  const isImage = app.content.shape.length === 3;
  let waiting = 0;
  app.on("decoded", () => {
    const hasLatents = app.content.latent_shape.length > 0, text = hasLatents ? words(app) : app.about;
    const label = hasLatents ? `The image that ${text} decode to` : text;
    if (isImage) paint(canvas, app.image, app.content.levels);
    code.textContent = isImage ? text : `${text}: (${[...app.image.data].map(v => v.toFixed(3)).join(", ")})`;
    time.textContent = hasLatents ? `${app.milliseconds.toFixed(1)} ms` : "";
    canvas.setAttribute("aria-label", label);
    // a screen reader hears of it when it rests, not of each picture on the way
    clearTimeout(waiting);
    waiting = setTimeout(() => { said.textContent = `Shown: ${text}.`; }, 800);
  });
  save.hidden = !isImage;
  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = enlarged(canvas).toDataURL("image/png");
    link.download = "decoded.png";
    link.click();
  });
}
