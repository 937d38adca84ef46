// Runs the model of this folder, in a browser or in Node; written by graphopt.
//
//   import { load } from "./model.mjs";
//   const model = await load();
//   const answers = model.run({ [model.inputs[0].name]: new Float32Array(model.inputs[0].length) });
//
// A browser has to get this file, model.wasm and weights.bin over HTTP. Tensors are flat: the last axis runs fastest.

/**
 * What the files beside this one hold. Places are bytes from where the module's memory is free.
 */
const MODEL = { inputs: [], outputs: [], arena: 0, weights: 0, weightBytes: 0, size: 0 };

const ALIGNMENT = 64;
const PAGE = 65536;

/** By dtypes: what holds a tensor; floats of 16 bits are known by their bits. */
const ARRAYS = {
  bool: Uint8Array,
  bfloat16: Uint16Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
};

/** The functions of the C library that a module may import, of float64; of float32 they have an f behind their names. */
const FUNCTIONS = {
  acos: Math.acos,
  acosh: Math.acosh,
  asin: Math.asin,
  asinh: Math.asinh,
  atan: Math.atan,
  atan2: Math.atan2,
  atanh: Math.atanh,
  cbrt: Math.cbrt,
  cos: Math.cos,
  cosh: Math.cosh,
  erf,
  exp: Math.exp,
  exp10: (x) => 10 ** x,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  fmod: (x, y) => x % y,
  hypot: Math.hypot,
  log: Math.log,
  log10: Math.log10,
  log1p: Math.log1p,
  log2: Math.log2,
  pow: (x, y) => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y),
  round: (x) => Math.sign(x) * Math.round(Math.abs(x)),
  sin: Math.sin,
  sinh: Math.sinh,
  tan: Math.tan,
  tanh: Math.tanh,
};

/**
 * An input or an output.
 *
 * @typedef {object} Tensor
 * @property {string} name in the model
 * @property {string} dtype as in numpy
 * @property {readonly number[]} shape
 * @property {number} length how many elements it has
 */

/** A model in memory. Runs are one after the other; load it again to run two at once, in workers. */
export class Model {
  #instance;
  #base;

  /** Call `load` instead. */
  constructor(instance, weights) {
    const { memory, __heap_base: heap } = instance.exports;
    this.#instance = instance;
    this.#base = Math.ceil(heap.value / ALIGNMENT) * ALIGNMENT;
    const missing = this.#base + MODEL.size - memory.buffer.byteLength;
    if (missing > 0) {
      try {
        memory.grow(Math.ceil(missing / PAGE));
      } catch (cause) {
        throw new RangeError(`the model needs ${Math.ceil(MODEL.size / 2 ** 20)} MiB of memory`, { cause });
      }
    }
    new Uint8Array(memory.buffer).set(weights, this.#base + MODEL.weights);
    /** @type {readonly Tensor[]} in the order of the model */
    this.inputs = Object.freeze(MODEL.inputs.map(described));
    /** @type {readonly Tensor[]} in the order of the model */
    this.outputs = Object.freeze(MODEL.outputs.map(described));
  }

  /**
   * Run on typed arrays by input name; return typed arrays by output name, which are the caller's to keep.
   *
   * Throws a TypeError for a wrong name or kind of array, and a RangeError for a wrong length.
   */
  run(feeds) {
    const { memory, model_run: modelRun } = this.#instance.exports;
    check(this.inputs, feeds);
    const at = ({ place }) => this.#base + place;
    for (const input of MODEL.inputs) {
      const array = feeds[input.name];
      new ARRAYS[input.dtype](memory.buffer, at(input), array.length).set(array);
    }
    const pointers = [...MODEL.inputs.map(at), ...MODEL.outputs.map(at)];
    modelRun(...pointers, this.#base + MODEL.arena, this.#base + MODEL.weights);
    const answers = this.outputs.map(({ name, dtype, length }, index) => [
      name,
      new ARRAYS[dtype](memory.buffer, at(MODEL.outputs[index]), length).slice(),
    ]);
    return Object.fromEntries(answers);
  }
}

/**
 * Load the model.
 *
 * Both files are addresses, which are fetched, or their bytes. By default they lie beside this file, and the weights
 * beside a module whose address is given.
 *
 * @param {string | URL | ArrayBuffer | ArrayBufferView} [module]
 * @param {string | URL | ArrayBuffer | ArrayBufferView} [weights]
 * @returns {Promise<Model>}
 */
export async function load(module, weights) {
  const beside = isAddress(module) ? address(module) : new URL(import.meta.url);
  const [code, data] = await Promise.all([
    bytesOf(module ?? new URL("model.wasm", beside)),
    MODEL.weightBytes ? bytesOf(weights ?? new URL("weights.bin", beside)) : new Uint8Array(0),
  ]);
  if (data.byteLength !== MODEL.weightBytes) {
    throw new RangeError(
      `weights.bin must have ${MODEL.weightBytes} bytes, not ${data.byteLength}; take it from the folder of model.mjs`,
    );
  }
  const { instance } = await instantiated(code);
  return new Model(instance, data);
}

async function instantiated(code) {
  const env = {};
  for (const [name, call] of Object.entries(FUNCTIONS)) {
    env[name] = call;
    env[`${name}f`] = call;
  }
  try {
    return await WebAssembly.instantiate(code, { env });
  } catch (cause) {
    throw new Error(
      `model.wasm cannot be loaded: it is damaged, or this engine has no WebAssembly with SIMD (${cause.message})`,
      { cause },
    );
  }
}

function described({ name, dtype, shape }) {
  const length = shape.reduce((product, extent) => product * extent, 1);
  return Object.freeze({ name, dtype, shape: Object.freeze([...shape]), length });
}

function check(inputs, feeds) {
  if (feeds === null || typeof feeds !== "object" || ArrayBuffer.isView(feeds) || Array.isArray(feeds)) {
    throw new TypeError(`run takes an object of typed arrays by input name; there is ${listed(inputs)}`);
  }
  for (const name of Object.keys(feeds)) {
    if (!inputs.some((input) => input.name === name)) {
      throw new TypeError(`there is no input ${quoted(name)}; there is ${listed(inputs)}`);
    }
  }
  for (const { name, dtype, shape, length } of inputs) {
    if (!Object.hasOwn(feeds, name)) {
      throw new TypeError(`input ${quoted(name)} is missing`);
    }
    const wanted = ARRAYS[dtype].name;
    const kind = kindOf(feeds[name]);
    if (kind !== wanted && !(wanted === "Uint8Array" && kind === "Uint8ClampedArray")) {
      throw new TypeError(`input ${quoted(name)} is ${dtype} and must be a ${wanted}, not ${kind}`);
    }
    if (feeds[name].length !== length) {
      throw new RangeError(
        `input ${quoted(name)} must have ${length} elements, [${shape.join(", ")}], not ${feeds[name].length}`,
      );
    }
  }
}

/** What a value is: that of a typed array from another window is not `instanceof` a class of this one. */
function kindOf(value) {
  return ArrayBuffer.isView(value) ? value[Symbol.toStringTag] ?? "DataView" : value?.constructor?.name ?? String(value);
}

function listed(tensors) {
  return tensors.map(({ name }) => quoted(name)).join(", ") || "none";
}

function quoted(name) {
  return JSON.stringify(name);
}

function isAddress(source) {
  return typeof source === "string" || source instanceof URL;
}

function inNode() {
  return typeof process === "object" && Boolean(process.versions?.node);
}

/** An address that may be relative: to the page, and in Node to the working directory. */
function address(source) {
  if (source instanceof URL) {
    return source;
  }
  const base = globalThis.document?.baseURI ?? globalThis.location?.href ?? `file://${process.cwd()}/`;
  return new URL(source, base);
}

async function bytesOf(source) {
  if (!isAddress(source)) {
    return viewOf(source);
  }
  const url = address(source);
  if (url.protocol === "file:" && inNode()) {
    const files = "node:fs/promises"; // a name that bundlers for browsers do not look for
    const { readFile } = await import(/* @vite-ignore */ /* webpackIgnore: true */ files);
    return readFile(url);
  }
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`cannot fetch ${url}: ${response.status} ${response.statusText}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

function viewOf(source) {
  if (ArrayBuffer.isView(source)) {
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  }
  if (Object.prototype.toString.call(source) === "[object ArrayBuffer]") {
    return new Uint8Array(source);
  }
  throw new TypeError("load takes an address, a URL, an ArrayBuffer or a typed array");
}

/**
 * The error function, to 15 digits: its series (Abramowitz and Stegun 7.1.6), and for large numbers the continued
 * fraction of its complement (7.1.14).
 */
function erf(x) {
  const size = Math.abs(x);
  if (!(size < 6)) {
    return Math.sign(x);
  }
  const density = Math.exp(-x * x) / Math.sqrt(Math.PI);
  if (size < 2.5) {
    let [term, sum] = [size, size];
    for (let n = 1; term > sum * 1e-17; n += 1) {
      term *= (2 * size * size) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * 2 * density * sum;
  }
  let fraction = size;
  for (let n = 60; n > 0; n -= 1) {
    fraction = size + n / 2 / fraction;
  }
  return Math.sign(x) * (1 - density / fraction);
}
