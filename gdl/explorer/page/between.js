// Walks from one vector of latents to another.

// Returns (1 - t) a + t b, a Float32Array.
export const linear = (a, b, t) => Float32Array.from(a, (v, i) => (1 - t) * v + t * b[i]);

// Returns the place t of the great circle from a to b (Shoemake, 1985), as gdl/tasks/interpolation.py does: vectors that point the same or
// the opposite way are taken as a hair apart, and 0 as at a right angle to all.
export function spherical(a, b, t) {
  let dot = 0;
  for (let i = 0; i < a.length; i++) dot += a[i] * b[i];
  const most = 1 - 1e-6, cosine = dot / Math.max(Math.hypot(...a) * Math.hypot(...b), 1e-8);
  const angle = Math.acos(Math.min(Math.max(cosine, -most), most)), u = Math.sin((1 - t) * angle) / Math.sin(angle), v = Math.sin(t * angle) / Math.sin(angle);
  return Float32Array.from(a, (value, i) => u * value + v * b[i]);
}
