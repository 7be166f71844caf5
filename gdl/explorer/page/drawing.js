// What is on the canvas: strokes, pictures and clearings in their order, so that each can be undone.

// Draws the segment of a stroke that ends at its point i, a curve through the middles of the points.
function drawSegment(context, points, i) {
  const middle = (a, b) => [(a.x + b.x) / 2, (a.y + b.y) / 2], [p, q, r] = [points[i - 2], points[i - 1], points[i]];
  context.lineWidth = r.width;
  context.beginPath();
  if (!q) { context.moveTo(r.x, r.y); context.lineTo(r.x, r.y); }
  else if (!p) { context.moveTo(q.x, q.y); context.lineTo(...middle(q, r)); }
  else { context.moveTo(...middle(p, q)); context.quadraticCurveTo(q.x, q.y, ...middle(q, r)); }
  context.stroke();
}

function drawStroke(context, {points, colour, erases}, ink) {
  context.globalCompositeOperation = erases ? "destination-out" : "source-over";
  context.strokeStyle = colour ?? ink;
  context.lineCap = context.lineJoin = "round";
  points.forEach((_, i) => drawSegment(context, points, i));
  if (points.length > 1) {  // from the last middle to the end
    const [p, q] = points.slice(-2);
    context.beginPath();
    context.moveTo((p.x + q.x) / 2, (p.y + q.y) / 2);
    context.lineTo(q.x, q.y);
    context.stroke();
  }
  context.globalCompositeOperation = "source-over";
}

// Opens the marks of a canvas of transparent paper. A mark is {points: [{x, y, width}], colour (null: ink), erases}, {picture}, or
// {cleared: true}. `ink()` gives the colour of the page's ink, `changed()` is called when the marks have changed.
// Returns {begin(stroke), extend(point), add(mark), undo(), redo(), picture(), isEmpty(), can(), repaint(), pixels()}.
export function openDrawing(canvas, ink, changed) {
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const finished = document.createElement("canvas"), below = finished.getContext("2d", {willReadFrequently: true});
  Object.assign(finished, {width: canvas.width, height: canvas.height});
  const marks = [], undone = [];
  let live = false;  // whether the last mark is a stroke that goes on
  // marks that are seen: those after the last clearing, or from the last picture on
  const seen = () => {
    const last = marks.findLastIndex(mark => mark.cleared || mark.picture);
    return marks.slice(last + 1);
  };
  const show = () => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(finished, 0, 0);
    if (live) drawStroke(context, marks.at(-1), ink());
  };
  const repaint = () => {
    below.clearRect(0, 0, canvas.width, canvas.height);
    const strokes = seen();
    for (const stroke of live ? strokes.slice(0, -1) : strokes) drawStroke(below, stroke, ink());
    show();
  };
  const drawing = {
    repaint,
    begin(stroke) {
      drawing.end();
      marks.push({...stroke, points: []});
      undone.length = 0;
      live = true;
    },
    extend(...points) {
      if (!live) return;
      marks.at(-1).points.push(...points);
      show();
      changed();
    },
    end() {
      if (!live) return;
      drawStroke(below, marks.at(-1), ink());
      live = false;
      show();
    },
    add(mark) {
      drawing.end();
      marks.push(mark);
      undone.length = 0;
      repaint();
      changed();
    },
    undo() { drawing.move(marks, undone); },
    redo() { drawing.move(undone, marks); },
    move(from, to) {
      drawing.end();
      if (!from.length) return;
      to.push(from.pop());
      repaint();
      changed();
    },
    picture: () => marks.findLast(mark => mark.cleared || mark.picture)?.picture ?? null,
    isEmpty: () => !seen().length && !drawing.picture(),
    can: () => ({undo: marks.length > 0, redo: undone.length > 0}),
    pixels: () => context.getImageData(0, 0, canvas.width, canvas.height),
  };
  return drawing;
}
