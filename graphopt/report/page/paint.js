// How things look, as SVG text: the page draws with it, and so do files, prints and pictures made without a browser.

import { HEADER } from "./elk.js";
import { inkOn } from "./colours.js";
import { escapeXml } from "./format.js";
import { LABEL } from "./labels.js";
import { SUBTITLE, TITLE } from "./visible.js";

/** @typedef {import("./visible.js").Item} Item @typedef {import("./elk.js").Rect} Rect @typedef {import("./elk.js").Point} Point @typedef {import("./colours.js").Palette} Palette */
/** @typedef {import("./story.js").Change} Change @typedef {import("./labels.js").Label} Label */

const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif";

/** @type {Record<Change, string>} */
export const SIGNS = { new: "+", changed: "~", removed: "−" };

/** The rules for all that is drawn, below the element with this selector. @param {Palette} palette @param {string} within */
export function drawingRules(palette, within) {
  const change = { new: palette.fresh, changed: palette.changed, removed: palette.removed };
  const rules = {
    "text": `font-family: ${FONT}; font-size: ${SUBTITLE}px`,
    ".t": `font-size: ${TITLE}px; font-weight: 700`,
    ".e": `fill: none; stroke: ${palette.edge}; stroke-width: 1.3`,
    ".a": `fill: ${palette.edge}; stroke: none`,
    ".l": `font-size: ${LABEL}px; fill: ${palette.muted}`,
    ".b": `fill: ${palette.box}; fill-opacity: 0.045; stroke: ${palette.boxLine}`,
    ".bt": `paint-order: stroke; stroke: ${palette.paper}; stroke-width: 3.5px; stroke-linejoin: round; fill: ${palette.ink}; font-weight: 600; font-size: ${TITLE - 0.5}px`,
    ".bs": `fill: ${palette.muted}`,
    ".h": "fill: none; stroke-width: 2.5",
    ".g": `fill: ${palette.paper}; font-weight: 700; font-size: 12px`,
    ...Object.fromEntries(Object.entries(change).map(([name, colour]) => [`.${name}`, `stroke: ${colour}`])),
    ...Object.fromEntries(Object.entries(change).map(([name, colour]) => [`.f-${name}`, `fill: ${colour}`])),
    ".removed": `stroke: ${change.removed}; stroke-dasharray: 5 3`,
  };
  return Object.entries(rules).map(([selector, rule]) => `${within} ${selector} { ${rule} }`).join("\n");
}

/** A number with at most one decimal. @param {number} number */
const r = (number) => String(Math.round(number * 10) / 10);

/**
 * A thing with its corner at (0, 0).
 * @param {Item} item @param {number} width @param {number} height @param {string} fill @param {Change | null} change
 */
export function itemMarkup(item, width, height, fill, change) {
  const halo = change ? `<rect class="h ${change}" x="-3.5" y="-3.5" width="${r(width + 7)}" height="${r(height + 7)}" rx="9"/>` : "";
  const badge = change
    ? `<circle class="f-${change}" cx="${r(width)}" cy="0" r="7.5"/><text class="g" x="${r(width)}" y="4.2" text-anchor="middle">${SIGNS[change]}</text>`
    : "";
  if (item.kind === "open")
    return `<rect class="b" width="${r(width)}" height="${r(height)}" rx="9"/>`;
  const ink = inkOn(fill);
  const middle = r(width / 2);
  if (item.kind === "input" || item.kind === "output") {
    return `<rect width="${r(width)}" height="${r(height)}" rx="${r(height / 2)}" fill="${fill}"/>${lines(item, middle, height, ink)}${halo}${badge}`;
  }
  if (item.kind === "closed")
    return (
      `<rect x="5" y="5" width="${r(width)}" height="${r(height)}" rx="7" fill="${fill}" fill-opacity="0.35"/>` +
      `<rect width="${r(width)}" height="${r(height)}" rx="7" fill="${fill}"/>` +
      `<g fill="${ink}">${chevron(15, height / 2, false)}</g>${lines(item, r(width / 2 + 6), height, ink)}${halo}${badge}`
    );
  return `<rect width="${r(width)}" height="${r(height)}" rx="6" fill="${fill}"/>${lines(item, middle, height, ink)}${halo}${badge}`;
}

/** The title of an open box, which stands above the edges that pass it. @param {Item} item */
export const boxTitleMarkup = (item) => `${chevron(14, HEADER / 2 + 1, true)}<text class="bt" x="27" y="${r(HEADER / 2 + 5)}">${escapeXml(item.title)}</text>`;

/** @param {Item} item @param {string} middle @param {number} height @param {string} ink */
function lines(item, middle, height, ink) {
  const title = `<text class="t" x="${middle}" y="${item.subtitle ? r(height / 2 - 3.5) : r(height / 2 + 4.5)}" text-anchor="middle" fill="${ink}">${escapeXml(item.title)}</text>`;
  if (!item.subtitle) return title;
  return `${title}<text x="${middle}" y="${r(height / 2 + 12)}" text-anchor="middle" fill="${ink}">${escapeXml(item.subtitle)}</text>`;
}

/** @param {number} x @param {number} y @param {boolean} open */
function chevron(x, y, open) {
  return open ? `<path class="bs" d="M${x - 5} ${r(y - 3)}h10l-5 6z"/>` : `<path d="M${x - 3} ${r(y - 5)}v10l6-5z"/>`;
}

/** The line of a route, with round corners. @param {Point[]} points */
export function routePath(points) {
  let path = `M${r(points[0].x)} ${r(points[0].y)}`;
  for (let at = 1; at < points.length - 1; at++) {
    const [a, b, c] = [points[at - 1], points[at], points[at + 1]];
    const before = Math.hypot(b.x - a.x, b.y - a.y);
    const after = Math.hypot(c.x - b.x, c.y - b.y);
    const round = Math.min(7, before / 2, after / 2);
    if (round < 0.5) {
      path += `L${r(b.x)} ${r(b.y)}`;
      continue;
    }
    path += `L${r(b.x + ((a.x - b.x) / before) * round)} ${r(b.y + ((a.y - b.y) / before) * round)}`;
    path += `Q${r(b.x)} ${r(b.y)} ${r(b.x + ((c.x - b.x) / after) * round)} ${r(b.y + ((c.y - b.y) / after) * round)}`;
  }
  const end = points[points.length - 1];
  return `${path}L${r(end.x)} ${r(end.y - 4)}`;
}

/** The head of a route's arrow. @param {Point[]} points */
export function arrowPath(points) {
  const end = points[points.length - 1];
  return `M${r(end.x - 4)} ${r(end.y - 6.5)}h8l-4 6.5z`;
}

/** @param {Label} label */
export const labelMarkup = (label) => `<text class="l" x="${r(label.x + 1)}" y="${r(label.y + label.height - 3)}">${escapeXml(label.text)}</text>`;

/**
 * @typedef {{items: Map<string, Item>, layout: import("./elk.js").Layout, labels: Label[], fillOf: (item: Item) => string,
 *   changeOf: (item: Item) => Change | null, linkChangeOf: (from: string, to: string) => Change | null}} Drawing
 */

/** A whole drawing as the text of an SVG file. @param {Drawing} drawing @param {Palette} palette @param {string} title @returns {string} */
export function drawingText(drawing, palette, title) {
  const { layout } = drawing;
  const [width, height] = [Math.ceil(layout.width), Math.ceil(layout.height)];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">` +
    `<title>${escapeXml(title)}</title><style>${drawingRules(palette, "")}</style>` +
    `<rect width="100%" height="100%" fill="${palette.paper}"/>${drawingMarkup(drawing)}</svg>`
  );
}

/** The elements of a whole drawing. @param {Drawing} drawing */
export function drawingMarkup({ items, layout, labels, fillOf, changeOf, linkChangeOf }) {
  /** @type {string[]} */
  const boxes = [];
  /** @type {string[]} */
  const titles = [];
  /** @type {string[]} */
  const cards = [];
  for (const [key, rect] of layout.rects) {
    const item = items.get(key);
    if (!item) continue;
    const markup = `<g transform="translate(${r(rect.x)} ${r(rect.y)})">${itemMarkup(item, rect.width, rect.height, fillOf(item), changeOf(item))}</g>`;
    (item.kind === "open" ? boxes : cards).push(markup);
    if (item.kind === "open") titles.push(`<g transform="translate(${r(rect.x)} ${r(rect.y)})">${boxTitleMarkup(item)}</g>`);
  }
  const edges = layout.routes.map(({ from, to, points }) => {
    const change = linkChangeOf(from, to);
    return `<path class="e${change ? ` ${change}` : ""}" d="${routePath(points)}"/><path class="${change ? `f-${change}` : "a"}" d="${arrowPath(points)}"/>`;
  });
  return boxes.join("") + edges.join("") + titles.join("") + labels.map(labelMarkup).join("") + cards.join("");
}
