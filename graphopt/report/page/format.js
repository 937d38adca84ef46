// Numbers, shapes and the parameters of a node as people read them.

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").NodeRecord} NodeRecord @typedef {import("./story.js").Dimension} Dimension */

/** A number in three digits and a unit of thousands: 24.9 M. @param {number} number */
export function short(number) {
  const size = Math.abs(number);
  for (const [limit, unit] of /** @type {[number, string][]} */ ([[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]))
    if (size >= limit * 0.9995) return `${digits(number / limit)} ${unit}`;
  return digits(number);
}

/** A number in three significant digits. @param {number} number */
export function digits(number) {
  if (number === 0 || !Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (size < 1e-3) return number.toExponential(1).replace("e-", "e−");
  if (size >= 1000) return String(Math.round(number));
  return String(Number(number.toPrecision(3)));
}

/** Bytes: 1.2 MB. @param {number} number */
export const bytes = (number) => `${short(number)}B`.replace(/(\d)B$/, "$1 B");

/** A time given in microseconds: 1.2 ms. @param {number} us */
export function duration(us) {
  if (us >= 1e6) return `${digits(us / 1e6)} s`;
  return us >= 1e3 ? `${digits(us / 1e3)} ms` : `${digits(us)} µs`;
}

/** @param {number} share */
export const percent = (share) => `${digits(share * 100)} %`;

/** @param {Dimension[] | null} shape */
export function shapeText(shape) {
  if (shape === null) return "?";
  return shape.length === 0 ? "scalar" : shape.map((size) => size ?? "?").join("×");
}

/** A shape for a place with little room: sizes that are long terms are left out. @param {Dimension[] | null} shape */
export const briefShape = (shape) => shapeText(shape === null ? null : shape.map((size) => (String(size).length > 9 ? "…" : size)));

/** How many of what, in its number. @param {number} count @param {string} noun */
export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** What no XML may hold, and a name in ONNX may. */
const NO_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** @param {string} text */
export const escapeXml = (text) =>
  text.toWellFormed().replace(NO_XML, "\ufffd").replace(/[&<>"]/g, (found) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[found] ?? found);

/** The numbers of an attribute such as "[2, 2]". @param {string | undefined} text @returns {number[]} */
function numbers(text) {
  return text === undefined ? [] : (text.match(/-?\d+(\.\d+)?/g) ?? []).map(Number);
}

/** "3" where all are 3, "1×3" otherwise. @param {number[]} sizes */
const brief = (sizes) => (sizes.every((size) => size === sizes[0]) ? String(sizes[0]) : sizes.join("×"));

/** The domain of operators that are one kernel. */
const FUSED = "graphopt.fused";

/** @type {WeakMap<Story, Map<number, NodeRecord>>} */
const recordsOfStories = new WeakMap();

/** The convolution, or what else weighs most, that a kernel was fused from. @param {Story} story @param {NodeRecord} node @returns {NodeRecord | null} */
function mainPart(story, node) {
  let records = recordsOfStories.get(story);
  if (!records) {
    records = new Map(story.nodes.map((record) => [record.id, record]));
    recordsOfStories.set(story, records);
  }
  const parts = node.parents.flatMap((id) => records?.get(id) ?? []);
  return parts.find((part) => /Conv|Gemm|MatMul|Pool/.test(part.op)) ?? null;
}

/** An operator as it is read: kernels' names are numbered where they differ in what is not seen. @param {NodeRecord} node */
export const opTitle = (node) => (node.domain === FUSED ? node.op.replace(/_\d+$/, "") : node.op);

/**
 * What a reader wants to know of a node at first sight: kernel, stride, channels; empty where there is nothing.
 * @param {Story} story @param {NodeRecord} node
 */
export function salient(story, node) {
  /** @param {number} at @returns {Dimension[]} */
  const shape = (at) => {
    const value = node.inputs[at];
    return value === null || value === undefined ? [] : (story.values[value].shape ?? []);
  };
  const attributes = node.domain === FUSED ? (mainPart(story, node)?.attributes ?? {}) : node.attributes;
  const parts = [];
  const op = node.op;
  if (/Conv/.test(op)) {
    const quantized = /^QLinear/.test(op) ? 3 : 1;
    const weight = shape(quantized);
    const kernel = weight.length > 2 ? weight.slice(2) : numbers(attributes.kernel_shape);
    if (kernel.length) parts.push(kernel.join("×"));
    const groups = numbers(attributes.group)[0] ?? 1;
    if (weight.length > 2 && typeof weight[0] === "number" && typeof weight[1] === "number") {
      const transposed = /Transpose/.test(op);
      const taken = transposed ? weight[0] : weight[1] * groups;
      const made = transposed ? weight[1] * groups : weight[0];
      if (groups > 1 && groups === taken) parts.push(taken === made ? `depthwise ${made}` : `depthwise ${taken}→${made}`);
      else parts.push(`${taken}→${made}`);
      if (groups > 1 && groups !== taken) parts.push(`g${groups}`);
    }
    const strides = numbers(attributes.strides);
    if (strides.some((stride) => stride !== 1)) parts.push(`s${brief(strides)}`);
    const dilations = numbers(attributes.dilations);
    if (dilations.some((dilation) => dilation !== 1)) parts.push(`d${brief(dilations)}`);
    if (attributes.activation) parts.push(attributes.activation.replace(/["']/g, ""));
  } else if (/Pool/.test(op)) {
    const kernel = numbers(attributes.kernel_shape);
    if (kernel.length) parts.push(kernel.join("×"));
    const strides = numbers(attributes.strides);
    if (strides.some((stride) => stride !== 1)) parts.push(`s${brief(strides)}`);
  } else if (/Gemm|MatMul/.test(op)) {
    const weight = shape(/^QLinear/.test(op) ? 3 : 1);
    if (weight.length === 2) {
      const turned = numbers(attributes.transB)[0] === 1;
      parts.push(turned ? `${weight[1] ?? "?"}→${weight[0] ?? "?"}` : `${weight[0] ?? "?"}→${weight[1] ?? "?"}`);
    }
  } else if (/Normalization/.test(op)) {
    const scale = shape(1);
    if (scale.length === 1) parts.push(`${scale[0] ?? "?"}`);
  } else if (op === "Transpose" && attributes.perm) parts.push(numbers(attributes.perm).join(" "));
  else if (/^(Concat|Split|Gather|Softmax|LogSoftmax|ArgMax|Flatten|Squeeze|Unsqueeze)$/.test(op) && attributes.axis) parts.push(`axis ${attributes.axis}`);
  else if (op === "Cast" && attributes.to) parts.push(`to ${attributes.to.replace(/["']/g, "").toLowerCase()}`);
  else if (op === "Resize" && attributes.mode) parts.push(attributes.mode.replace(/["']/g, ""));
  else if (/^(Reshape|Expand|Resize)$/.test(op)) {
    const made = node.outputs[0];
    if (made !== null && made !== undefined && story.values[made].shape) parts.push(briefShape(story.values[made].shape));
  }
  return parts.join(", ");
}

const NARROW = new Set("iljtfrI.,:;'|![]()/ -");
const WIDE = new Set("mwMW@%→—");

/** How wide a text is drawn, at most: no font is asked, so that a browser and a file agree. @param {string} text @param {number} size */
export function textWidth(text, size) {
  let width = 0;
  for (const letter of text) width += NARROW.has(letter) ? 0.38 : WIDE.has(letter) ? 0.92 : letter >= "A" && letter <= "Z" ? 0.71 : 0.625;
  return width * size;
}

/** The text, or its ends around an ellipsis where it is wider than `room`. @param {string} text @param {number} size @param {number} room */
export function fitText(text, size, room) {
  if (textWidth(text, size) <= room) return text;
  let kept = text.length;
  while (kept > 3) {
    kept -= 1;
    const head = Math.ceil(kept * 0.4);
    const cut = `${text.slice(0, head)}…${text.slice(text.length - (kept - head))}`;
    if (textWidth(cut, size) <= room) return cut;
  }
  return "…";
}
