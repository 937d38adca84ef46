// The drawing as a file, and on paper.

import { byId, make } from "./dom.js";
import { drawingMarkup, drawingRules, drawingText } from "./paint.js";
import { PALETTES } from "./colours.js";

/** @typedef {import("./paint.js").Drawing} Drawing */

/** A canvas has no more pixels than this in some browsers, and no more than this on a side. */
const PIXELS = 60e6;
const SIDE = 16000;

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** @param {Drawing} drawing @param {import("./colours.js").Palette} palette @param {string} title */
export function saveSvg(drawing, palette, title) {
  download(new Blob([drawingText(drawing, palette, title)], { type: "image/svg+xml" }), `${fileName(title)}.svg`);
}

/** @param {Drawing} drawing @param {import("./colours.js").Palette} palette @param {string} title @returns {Promise<void>} */
export async function savePng(drawing, palette, title) {
  const { width, height } = drawing.layout;
  const scale = Math.min(2, SIDE / Math.max(width, height), Math.sqrt(PIXELS / (width * height)));
  const url = URL.createObjectURL(new Blob([drawingText(drawing, palette, title)], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = make("canvas", { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!(blob instanceof Blob)) throw new Error("the picture is too large for this browser; save it as SVG");
  download(blob, `${fileName(title)}.png`);
}

/** @param {string} title */
const fileName = (title) => title.replace(/[^\w.-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "graph";

/** Heights at which a drawing is cut, from its top to its end, not through a node if it can be helped. @param {Drawing} drawing @param {number} tall @returns {number[]} */
function cutBetween({ items, layout }, tall) {
  const cards = [...layout.rects].filter(([key]) => items.get(key)?.kind !== "open").map(([, rect]) => rect);
  const cuts = [0];
  while (cuts[cuts.length - 1] + tall < layout.height) {
    const start = cuts[cuts.length - 1];
    let end = start + tall;
    const free = () => cards.every((card) => card.y > end + 2 || card.y + card.height < end - 2);
    while (!free() && end > start + tall / 2) end -= 4;
    cuts.push(free() ? end : start + tall);
  }
  return [...cuts, layout.height];
}

/** A long drawing in strips beside each other, as many as a sheet holds. What `use` shows knows no rule by where it stands. @param {() => Drawing | null} current @param {() => string} title */
export function printDrawing(current, title) {
  const place = byId("paper");
  addEventListener("beforeprint", () => {
    const drawing = current();
    if (!drawing) return;
    const { width } = drawing.layout;
    const across = 1000; // units of the drawing on a sheet's width, at which text is read
    const columns = Math.max(1, Math.floor(across / (width + 24)));
    const tall = Math.max(600, columns > 1 ? 1350 : width * 1.3);
    const cuts = cutBetween(drawing, tall);
    const whole = `<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><g id="whole">${drawingMarkup(drawing)}</g></defs></svg>`;
    const parts = cuts.slice(1).map((end, at) => `<svg viewBox="0 ${cuts[at]} ${width} ${end - cuts[at]}" style="width:${(100 * width) / Math.max(across, width)}%" role="img"><use href="#whole"/></svg>`);
    place.innerHTML = `<style>${drawingRules(PALETTES.light, "")}</style>${whole}<h2></h2><div class="strips">${parts.join("")}</div>`;
    const heading = place.querySelector("h2");
    if (heading) heading.textContent = title();
  });
  addEventListener("afterprint", () => place.replaceChildren());
}
