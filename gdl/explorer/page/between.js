// Walks from one vector of latents to another.

// Returns (1 - t) a + t b, a Float32Array.
export const linear = (a, b, t) => Float32Array.from(a, (v, i) => (1 - t) * v + t * b[i]);

// Returns the place t of the great circle from a to b (Shoemake, 1985), or of the line where they point the same or the opposite way.
export function spherical(a, b, t) {
  let dot = 0;
  for (let i = 0; i < a.length; i++) dot += a[i] * b[i];
  const cosine = dot / (Math.hypot(...a) * Math.hypot(...b));
  if (!(Math.abs(cosine) < 1 - 1e-6)) return linear(a, b, t);
  const angle = Math.acos(cosine), u = Math.sin((1 - t) * angle) / Math.sin(angle), v = Math.sin(t * angle) / Math.sin(angle);
  return Float32Array.from(a, (value, i) => u * value + v * b[i]);
}
