// Section checkpoints: see gdl/explorer/sections/checkpoints.py for its content.

export function openCheckpoints(root, content, app) {
  root.hidden = false;
}
