"use strict";

// A GPT-2 decoder that reads one token after the other: minigpt/model.py for a single text.
//
//   const model = { config, weights: readSafetensors(bytes) };
//   const cache = emptyCache(model);
//   for (const id of ids) logits = readToken(model, id, cache);   // scores of what comes after ids
//
// softmax is that of sampling.js. C is the width n_embd, H the number of heads, D = C / H the size
// of one head, V the vocabulary. Numbers of JavaScript have 64 bits, so sums are more exact here
// than in the library, which computes in 32.

/** Returns the cache of an empty text: for each layer the keys and values [C] of every token. */
function emptyCache(model) {
  const layers = Array.from({ length: model.config.n_layer }, () => ({ keys: [], values: [] }));
  return { length: 0, layers };
}

/** Reads one more token of a text, and returns the logits [V] of the token after it. */
function readToken({ config, weights }, id, cache) {
  if (cache.length >= config.n_positions) {
    throw new RangeError(`the context has room for ${config.n_positions} tokens`);
  }
  const token = row(weights["transformer.wte.weight"], id, config.n_embd);
  const position = row(weights["transformer.wpe.weight"], cache.length, config.n_embd);
  let x = add(token, position); // [C]
  cache.layers.forEach((past, layer) => {
    const block = `transformer.h.${layer}`;
    const layerNorm = (name) => normalised(x, weights, `${block}.${name}`, config);
    x = add(x, attention(layerNorm("ln_1"), weights, `${block}.attn`, config.n_head, past));
    x = add(x, mlp(layerNorm("ln_2"), weights, `${block}.mlp`));
  });
  cache.length += 1;
  return scores(normalised(x, weights, "transformer.ln_f", config), weights);
}

/** Looks from the newest token, x [C], at itself and all before it; returns what it found [C]. */
function attention(x, weights, name, nHead, past) {
  const C = x.length;
  const D = C / nHead;
  const qkv = linear(x, weights, `${name}.c_attn`); // [3C]
  const query = qkv.subarray(0, C);
  past.keys.push(qkv.subarray(C, 2 * C));
  past.values.push(qkv.subarray(2 * C));
  const found = new Float64Array(C);
  for (let start = 0; start < C; start += D) {
    // a head has the numbers from start to start + D
    const shares = softmax(
      past.keys.map((key) => dot(query, key, start, start + D) / Math.sqrt(D)),
    );
    past.values.forEach((value, t) => {
      for (let i = start; i < start + D; i++) found[i] += shares[t] * value[i];
    });
  }
  return linear(found, weights, `${name}.c_proj`);
}

/** Works on a token alone, four times as wide inside: [C] -> [C]. */
function mlp(x, weights, name) {
  const inside = linear(x, weights, `${name}.c_fc`).map(gelu); // [4C]
  return linear(inside, weights, `${name}.c_proj`);
}

/** Returns x times its share of a normal curve, in the form with tanh that GPT-2 uses. */
function gelu(x) {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** Returns x [C] with mean 0 and variance 1, times a learned weight and plus a learned bias. */
function normalised(x, weights, name, config) {
  const weight = weights[`${name}.weight`];
  const bias = weights[`${name}.bias`];
  const mean = sumOf(x) / x.length;
  const variance = sumOf(x.map((number) => (number - mean) ** 2)) / x.length;
  const scale = 1 / Math.sqrt(variance + config.layer_norm_epsilon);
  return x.map((number, i) => (number - mean) * scale * weight[i] + bias[i]);
}

/** Returns x W + b for x [in], with W [in, out] as GPT-2's files have it. */
function linear(x, weights, name) {
  const weight = weights[`${name}.weight`];
  const y = Float64Array.from(weights[`${name}.bias`]); // [out]
  const nOut = y.length;
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j < nOut; j++) y[j] += x[i] * weight[i * nOut + j];
  }
  return y;
}

/** Returns the logits [V] for x [C]: how well each token's own vector fits. */
function scores(x, weights) {
  const tokens = weights["transformer.wte.weight"]; // [V, C], one after the other
  const logits = new Float64Array(tokens.length / x.length);
  return logits.map((_, id) => dot(x, row(tokens, id, x.length), 0, x.length));
}

/** Returns row number i of a matrix that is stored row after row, each of `width` numbers. */
function row(matrix, i, width) {
  return matrix.subarray(i * width, (i + 1) * width);
}

function add(a, b) {
  return Float64Array.from(a, (number, i) => number + b[i]);
}

/** Returns the sum of a[i] * b[i] over i from start up to, but not including, end. */
function dot(a, b, start, end) {
  let sum = 0;
  for (let i = start; i < end; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * Returns the tensors in the bytes of a safetensors file, each as one row of numbers, by name.
 *
 * The file begins with 8 bytes that hold the length of a header in JSON, which says where each
 * tensor's bytes stand behind it. All must be bfloat16.
 */
function readSafetensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(String.fromCharCode(...bytes.subarray(8, start)));
  delete header.__metadata__;
  const tensors = {};
  for (const [name, { dtype, data_offsets: [from, to] }] of Object.entries(header)) {
    if (dtype !== "BF16") throw new TypeError(`${name} is ${dtype}, and must be BF16`);
    tensors[name] = fromBfloat16(view, start + from, start + to);
  }
  return tensors;
}

/** Returns the bfloat16 numbers from byte `from` to byte `to`: a float32's upper 16 bits each. */
function fromBfloat16(view, from, to) {
  const bits = new Uint32Array((to - from) / 2);
  for (let i = 0; i < bits.length; i++) bits[i] = view.getUint16(from + 2 * i, true) << 16;
  return new Float32Array(bits.buffer);
}

/** Returns the bytes that a text in base64 stands for. */
function bytesOf(base64) {
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}
