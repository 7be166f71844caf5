// The model of the page: its programs by name, run here, or by the server that the page came from.
import { readTensors } from "./weights.js";
import { run } from "./network.js";

// Returns {run(program, inputs) -> Promise of outputs, has(program), use(checkpoint)}.
export function localModel(content) {
  const read = new Map();  // checkpoints whose weights have been read
  let current = content.weights.length - 1;  // the chosen ones
  const tensors = k => {
    if (!read.has(k)) read.set(k, readTensors(content.weights[k]));
    return read.get(k);
  };
  return {
    has: name => name in content.programs,
    use(k) { current = k; },
    async run(name, inputs) { return run(content.programs[name], tensors(current), inputs); },
  };
}
