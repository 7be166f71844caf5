// Section canvas: see gdl/explorer/sections/canvas.py for its content.

export function openCanvas(root, content, app) {
  root.hidden = false;
}
