// Section sliders: see gdl/explorer/sections/sliders.py for its content.

export function openSliders(root, content, app) {
  root.hidden = false;
}
