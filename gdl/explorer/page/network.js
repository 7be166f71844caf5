// Runs a graph, see gdl/explorer/graph.py.
import { OPS } from "./ops.js";
import { FLOW_OPS } from "./flow_ops.js";
import { LIKELIHOOD_OPS } from "./likelihoods.js";

const KNOWN_OPS = {...OPS, ...LIKELIHOOD_OPS, ...FLOW_OPS};

// Returns the outputs of a graph by name.
export function run(graph, tensors, inputs) {
  const values = graph.inputs.map(name => inputs[name]);
  for (const node of graph.nodes) {
    const options = {...node};
    for (const [name, i] of Object.entries(node.tensors)) options[name] = tensors[i];
    values.push(KNOWN_OPS[node.op](node.in.map(i => values[i]), options));
  }
  return Object.fromEntries(Object.entries(graph.outputs).map(([name, i]) => [name, values[i]]));
}
