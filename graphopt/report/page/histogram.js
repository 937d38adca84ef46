// How the numbers of a constant are spread, as a small picture and a sentence.

import { digits, percent } from "./format.js";
import { make, makeSvg } from "./dom.js";

/** @param {import("./story.js").Statistics} statistics */
export function histogram(statistics) {
  const { min, max, mean, std, zeros, histogram: counts } = statistics;
  if (![min, max, mean].every(Number.isFinite)) return make("p", { class: "quiet" }, "holds numbers that are not finite");
  const most = Math.max(...counts, 1);
  const said = `${digits(min)} to ${digits(max)}, mean ${digits(mean)}, deviation ${digits(std)}${zeros > 0 ? `, ${percent(zeros)} zeros` : ""}`;
  const svg = makeSvg("svg", { viewBox: `0 0 ${counts.length} 30`, preserveAspectRatio: "none", role: "img", "aria-label": `Histogram: ${said}`, class: "histogram" });
  counts.forEach((count, at) => {
    const height = count === 0 ? 0 : Math.max(0.8, (29 * count) / most);
    svg.append(makeSvg("rect", { x: at + 0.08, y: 30 - height, width: 0.84, height }));
  });
  if (min < 0 && max > 0) svg.append(makeSvg("line", { x1: (counts.length * -min) / (max - min), x2: (counts.length * -min) / (max - min), y1: 0, y2: 30, "vector-effect": "non-scaling-stroke" }));
  return make("figure", { class: "weights" }, svg, make("figcaption", { class: "quiet" }, said));
}
