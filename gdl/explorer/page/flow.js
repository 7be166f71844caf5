// Section flow: see gdl/explorer/sections/flow.py for its content.

export function openFlow(root, content, app) {
  root.hidden = false;
}
