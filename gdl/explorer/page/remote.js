// The model of a page that a server of gdl has sent: the server runs it. gdl/explorer/wire.py has the form of the bytes.

const GONE = "The server does not answer: start gdl explore --serve again and open the address that it prints.";

// Returns the bytes of values by name: the length of the header, the header, float32 numbers.
function packed(values) {
  const names = Object.keys(values);
  const header = new TextEncoder().encode(JSON.stringify(names.map(name => ({name, shape: values[name].shape}))));
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, header.length, true);
  return new Blob([length, header, ...names.map(name => Float32Array.from(values[name].data))]);
}

// Returns the values by name that an ArrayBuffer of this form has.
function unpacked(buffer) {
  let at = 4 + new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, at - 4)));
  return Object.fromEntries(header.map(({name, shape}) => {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1), data = new Float32Array(buffer.slice(at, at + bytes));
    at += bytes;
    return [name, {shape, data}];
  }));
}

// Returns an error with a sentence of the server, which is no fault of the page: main.js shows it where no section does.
function refusal(sentence) {
  return Object.assign(new Error(sentence), {isRefusal: true});
}

// Returns the same as localModel; run throws an error with a sentence if the server refuses or is gone, and ends when `signal` says so.
// `rows` of the content are what one call may have, at most.
export function remoteModel(content) {
  return {
    has: name => name in content.programs,
    rows: content.rows,
    use() {},
    async run(name, inputs, signal) {
      let answer;
      try {
        answer = await fetch(`run/${name}`, {method: "POST", body: packed(inputs), signal});
      } catch (error) {
        if (signal?.aborted) throw error;
        throw refusal(GONE);
      }
      if (!answer.ok) throw refusal(await answer.text() || GONE);
      return unpacked(await answer.arrayBuffer());
    },
  };
}
