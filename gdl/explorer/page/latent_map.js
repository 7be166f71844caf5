// Section latent_map: see gdl/explorer/sections/latent_map.py for its content.

export function openLatentMap(root, content, app) {
  root.hidden = false;
}
