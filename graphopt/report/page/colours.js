// What a node's colour says: its operator, or how much it costs; and the colours of everything around it.

import { bytes, digits, duration, percent, short } from "./format.js";

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").NodeRecord} NodeRecord @typedef {import("./story.js").Stage} Stage */

/**
 * @typedef {{paper: string, ink: string, muted: string, edge: string, box: string, boxLine: string, end: string,
 *   none: string, fresh: string, changed: string, removed: string, focus: string}} Palette
 * @typedef {{key: string, title: string, metric: string | null, together: "sum" | "max" | "mean", text: (number: number) => string}} Mode
 * @typedef {{label: string, fill: string, count: number}} Swatch
 * @typedef {{mode: Mode, fillOf: (records: NodeRecord[]) => string, swatches: Swatch[], range: [number, number] | null}} Colouring
 */

/** @type {Record<"light" | "dark", Palette>} */
export const PALETTES = {
  light: {
    paper: "#ffffff", ink: "#16202c", muted: "#546170", edge: "#7d8a99", box: "#1c3a5e", boxLine: "#c3ced9", end: "#e6ebf1",
    none: "#d5dce4", fresh: "#12823b", changed: "#b26a00", removed: "#cc2f2f", focus: "#0b63ce",
  },
  dark: {
    paper: "#12171d", ink: "#e6ebf1", muted: "#9fadbb", edge: "#6d7c8c", box: "#a9c7ea", boxLine: "#35424f", end: "#2a3540",
    none: "#3a4653", fresh: "#45c973", changed: "#f0ab3c", removed: "#ff6b66", focus: "#62a8ff",
  },
};

/** @type {Mode[]} */
const MODES = [
  { key: "operator", title: "operator", metric: null, together: "sum", text: short },
  { key: "time", title: "time", metric: "time_us", together: "sum", text: duration },
  { key: "macs", title: "multiply-adds", metric: "macs", together: "sum", text: short },
  { key: "flops", title: "FLOPs", metric: "flops", together: "sum", text: short },
  { key: "gflops", title: "GFLOP/s", metric: "gflops", together: "mean", text: digits },
  { key: "bytes", title: "bytes moved", metric: "bytes", together: "sum", text: bytes },
  { key: "parameters", title: "parameters", metric: "parameters", together: "sum", text: short },
  { key: "error", title: "quantization error", metric: "error", together: "max", text: digits },
  { key: "sparsity", title: "sparsity", metric: "zeros", together: "mean", text: percent },
  { key: "device", title: "device", metric: null, together: "sum", text: short },
];

/** Operators that do one kind of thing, and its colour, on which white is legible. @type {[string, string, RegExp][]} */
const KINDS = [
  ["convolution", "#2a5fad", /Conv/],
  ["matrix product", "#5b4bb3", /Gemm|MatMul|Einsum|Attention|LSTM|GRU|RNN/],
  ["quantization", "#9a4a00", /Quantize/],
  ["normalization", "#1d6b5a", /Normalization|LRN/],
  ["pooling", "#3c742b", /Pool/],
  ["activation", "#ab3a2c", /Relu|Sigmoid|^Clip$|Tanh|Softmax|^Elu$|^Selu$|^Celu$|Gelu|Swish|Mish|^Soft|^Erf$|Softplus/],
  ["join and split", "#8c3680", /^(Concat|Split|Slice|Gather\w*|Scatter\w*|Pad|Tile)$/],
  ["reduction", "#146a80", /^(Reduce\w+|Arg\w+|TopK|CumSum|NonMaxSuppression)$/],
  ["shape", "#56616e", /^(Reshape|Flatten|Transpose|Squeeze|Unsqueeze|Expand|Shape|Size|Identity|Cast|Resize|Upsample|DepthToSpace|SpaceToDepth|Constant\w*|Range)$/],
  ["arithmetic", "#7d5700", /^(Add|Sub|Mul|Div|Pow|Sqrt|Exp|Log|Neg|Abs|Min|Max|Mean|Sum|Floor|Ceil|Round|Reciprocal|Mod|Sign|Where|Equal|Greater\w*|Less\w*|And|Or|Not|Xor)$/],
  ["control", "#2f3a46", /^(If|Loop|Scan|SequenceMap)$/],
];
const OTHER = /** @type {const} */ (["other", "#6a4a5e"]);
const SEVERAL = "#46576a";

/** From little to much: pale yellow to dark red, readable in grey too. */
const HEAT = ["#fff3c9", "#fdcf6f", "#f79a3e", "#df5a2b", "#ad2724", "#6b0f25"];

/** @param {string} op @returns {readonly [string, string]} */
export function kindOf(op) {
  const found = KINDS.find(([, , pattern]) => pattern.test(op));
  return found ? [found[0], found[1]] : OTHER;
}

/** The ways to colour for which the story knows anything. @param {Story} story @returns {Mode[]} */
export function modesOf(story) {
  return MODES.filter((mode) => {
    if (mode.key === "operator") return true;
    if (mode.key === "device") return story.nodes.some((node) => node.device !== null);
    if (mode.key === "flops" && story.nodes.some((node) => (node.metrics.macs ?? 0) > 0)) return false;
    return story.nodes.some((node) => (node.metrics[mode.metric ?? ""] ?? 0) > 0);
  });
}

/** A mode's amount for what stands for these nodes, or null where none is known. @param {Mode} mode @param {NodeRecord[]} records */
export function amount(mode, records) {
  const known = records.map((record) => record.metrics[mode.metric ?? ""]).filter((number) => typeof number === "number");
  if (known.length === 0) return null;
  if (mode.together === "max") return Math.max(...known);
  const sum = known.reduce((total, number) => total + number, 0);
  return mode.together === "mean" ? sum / known.length : sum;
}

/** How nodes of a stage are coloured. @param {Stage} stage @param {string} key @param {Palette} palette @returns {Colouring} */
export function colouring(stage, key, palette) {
  const mode = MODES.find((one) => one.key === key) ?? MODES[0];
  if (mode.metric === null) {
    const kind = mode.key === "device" ? deviceKinds(stage) : (/** @type {NodeRecord} */ record) => kindOf(record.op);
    /** @type {Map<string, Swatch>} */
    const swatches = new Map();
    for (const node of stage.nodes) {
      const [label, fill] = kind(node);
      const swatch = swatches.get(label);
      if (swatch) swatch.count += 1;
      else swatches.set(label, { label, fill, count: 1 });
    }
    return {
      mode, range: null,
      swatches: [...swatches.values()].sort((a, b) => b.count - a.count),
      fillOf(records) {
        if (records.length === 0) return palette.end;
        const fill = kind(records[0])[1];
        return records.length === 1 || records.every((record) => kind(record)[1] === fill) ? fill : SEVERAL;
      },
    };
  }
  const amounts = stage.nodes.map((node) => node.metrics[mode.metric ?? ""]).filter((number) => typeof number === "number");
  const most = amounts.reduce((a, b) => Math.max(a, b), 0);
  return {
    mode, range: [0, most],
    swatches: [0, 0.25, 0.5, 0.75, 1].map((part) => ({ label: mode.text(part * part * most), fill: heat(part), count: 0 })),
    fillOf(records) {
      const found = amount(mode, records);
      return found === null ? palette.none : heat(most > 0 ? Math.sqrt(Math.min(1, found / most)) : 0);
    },
  };
}

/** @param {Stage} stage @returns {(record: NodeRecord) => readonly [string, string]} */
function deviceKinds(stage) {
  const names = [...new Set(stage.story.nodes.map((node) => node.device ?? "unknown"))].sort();
  return (record) => {
    const name = record.device ?? "unknown";
    return [name, name === "unknown" ? "#56616e" : KINDS[names.indexOf(name) % KINDS.length][1]];
  };
}

/** @param {number} part of 1 */
function heat(part) {
  const at = part * (HEAT.length - 1);
  const low = Math.min(Math.floor(at), HEAT.length - 2);
  const mix = channels(HEAT[low]).map((channel, index) => Math.round(channel + (channels(HEAT[low + 1])[index] - channel) * (at - low)));
  return `#${mix.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {string} colour @returns {number[]} */
const channels = (colour) => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));

/** @param {string} colour */
function luminance(colour) {
  const [red, green, blue] = channels(colour).map((channel) => {
    const part = channel / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** How well two colours stand out from each other: 1 to 21. @param {string} one @param {string} other */
export function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** Black or white, whichever is read better on this. @param {string} fill */
export const inkOn = (fill) => (contrast(fill, "#ffffff") >= contrast(fill, "#000000") ? "#ffffff" : "#000000");
