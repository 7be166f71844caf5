// The layers of a flow on the line or in the plane, see gdl/explorer/programs/flows.py. Points are n * D numbers in a row.
import { logistics, normals } from "./draws.js";
import { tensor } from "./tensor.js";

const FLOW_ROWS = 512, FLOW_TURN = 12;  // points of one run; milliseconds after which the page may answer

// Returns what the layers of app.model do with points; `count` is K, the number of layers.
export function openFlowLayers(app, count) {
  const d = app.content.shape[0];
  let turn = performance.now();

  // Returns the outputs of a program by name, for any number of points.
  async function run(program, input, points, labelled = false) {
    const n = points.length / d, whole = {};
    for (let start = 0; start < n; start += FLOW_ROWS) {
      const rows = Math.min(FLOW_ROWS, n - start), part = tensor([rows, d], points.slice(start * d, (start + rows) * d));
      const found = await app.model.run(program, {[input]: part, ...(labelled ? app.labels(rows) : {})});
      for (const [name, {data}] of Object.entries(found)) {
        const size = data.length / rows;
        whole[name] ??= new Float32Array(n * size);
        whole[name].set(data, start * size);
      }
      if (performance.now() - turn > FLOW_TURN) {
        await new Promise(done => setTimeout(done));
        turn = performance.now();
      }
    }
    return whole;
  }

  // Returns log p(z) in nats of latents, under the prior of the current class.
  const logPrior = async z => (await run("log_prior", "z", z, true)).log_p;

  // Returns the points after layer k, ..., K and for each of these places log |det| of all since k, in nats.
  async function onwards(h, k) {
    const places = [h], logDets = [new Float32Array(h.length / d)];
    for (let i = k + 1; i <= count; i++) {
      const out = await run(`layer${i}`, "h", places.at(-1)), before = logDets.at(-1);
      places.push(out.h);
      logDets.push(out.log_det ? before.map((v, j) => v + out.log_det[j]) : before);
    }
    return {places, logDets};
  }

  // Returns the points before layer 1, ..., k + 1, given those after layer k: k + 1 places, the data first.
  async function backwards(h, k) {
    const places = [h];
    for (let i = k; i > 0; i--) places.unshift((await run(`unlayer${i}`, "h", places[0])).h);
    return places;
  }

  // Returns log p(h_k) in nats of points after layer k, by the layers that follow and the prior; and what the next layer does.
  async function logDensity(points, k) {
    const {places, logDets} = await onwards(points, k), prior = await logPrior(places.at(-1));
    return {points, logP: prior.map((v, i) => v + logDets.at(-1)[i]), next: places[1], logDet: logDets[1]};
  }

  // Returns n latents drawn from the prior of the current class; `prior` is "normal" or "logistic".
  async function draw(n, prior, seed) {
    const e = Float32Array.from((prior === "logistic" ? logistics : normals)(seed, n * d));
    return app.model.has("place") ? (await run("place", "e", e, true)).z : e;
  }

  return {d, count, logPrior, onwards, backwards, logDensity, draw};
}
