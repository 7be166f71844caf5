// Values, which operations take and return: {shape: [B, ...], data: Float32Array}.

// Returns a value.
export const tensor = (shape, data) => ({shape, data});

// Returns how many numbers a shape has.
export const sizeOf = shape => shape.reduce((a, b) => a * b, 1);
