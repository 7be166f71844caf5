// How one draws: by mouse, pen or touch, or by the keys.

const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

// Lets pointers draw on the canvas; `stroke()` gives colour, width and whether it erases, as the tools say. A pen's pressure changes
// the width. One pointer draws at a time: a second finger does nothing.
export function drawByPointer(canvas, drawing, stroke) {
  let pointer = null, width = 0;
  const points = event => {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width, all = event.getCoalescedEvents?.() ?? [];
    return (all.length ? all : [event]).map(e => ({
      x: (e.clientX - box.left) * scale, y: (e.clientY - box.top) * scale,
      width: e.pointerType === "pen" && e.pressure ? width * (.4 + 1.2 * e.pressure) : width,
    }));
  };
  canvas.addEventListener("pointerdown", event => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    canvas.focus({preventScroll: true});
    const {width: wide, ...kind} = stroke();
    width = wide;
    drawing.begin(kind);
    drawing.extend(...points(event).slice(-1));
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", event => {
    if (event.pointerId === pointer) drawing.extend(...points(event));
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(name, event => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      drawing.end();
    });
  }
}

// Lets keys draw on the focused canvas: arrows move a pen by a pixel of the model, of `step` pixels, with Shift by four; Space puts it
// down and up. `mark` is the element that shows where the pen is, `say(text)` tells it.
export function drawByKeys(canvas, mark, drawing, stroke, step, say) {
  const at = {x: canvas.width / 2, y: canvas.height / 2};
  let down = false, width = 0;
  const place = () => {
    mark.style.left = `${100 * at.x / canvas.width}%`;
    mark.style.top = `${100 * at.y / canvas.height}%`;
    mark.classList.toggle("down", down);
  };
  const where = () => `column ${Math.floor(at.x / step) + 1}, row ${Math.floor(at.y / step) + 1}`;
  const lift = () => {
    if (down) drawing.end();
    down = false;
    place();
  };
  canvas.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      if (event.repeat) return event.preventDefault();
      if (down) lift();
      else {
        const {width: wide, ...kind} = stroke();
        width = wide;
        down = true;
        drawing.begin(kind);
        drawing.extend({...at, width});
      }
      say(`Pen ${down ? "down" : "up"} at ${where()}.`);
    } else if (event.key in STEPS) {
      const [dx, dy] = STEPS[event.key], far = step * (event.shiftKey ? 4 : 1);
      at.x = Math.min(Math.max(at.x + dx * far, 0), canvas.width - 1);
      at.y = Math.min(Math.max(at.y + dy * far, 0), canvas.height - 1);
      if (down) drawing.extend({...at, width});
      say(`Pen ${down ? "down" : "up"}, ${where()}.`);
    } else return;
    mark.hidden = false;
    place();
    event.preventDefault();
  });
  canvas.addEventListener("blur", () => { lift(); mark.hidden = true; });
  canvas.addEventListener("pointerdown", () => { lift(); mark.hidden = true; });
  place();
}
