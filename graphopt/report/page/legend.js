// What the colours mean.

import { byId, make } from "./dom.js";

/** @typedef {import("./colours.js").Colouring} Colouring */

/** @param {Colouring} colours @param {{marks: boolean, removed: string, palette: import("./colours.js").Palette, text: string | null, mark: ((on: boolean) => void) | null}} also `text`: more to say */
export function showLegend(colours, { marks, removed, palette, text, mark }) {
  const legend = byId("legend");
  const { mode, swatches, range } = colours;
  const parts = [];
  if (range && range[1] === 0) parts.push(make("span", { class: "swatch" }, make("i", { style: `background:${palette.none}` }), "not known of this stage"));
  else if (range)
    parts.push(
      make("div", { class: "scale" }, make("div", { class: "gradient", style: `background:linear-gradient(to right, ${swatches.map((swatch) => swatch.fill).join()})` }),
        make("div", { class: "ticks" }, ...swatches.filter((_, at) => at % 2 === 0).map((swatch) => make("span", {}, swatch.label)))),
      make("span", { class: "swatch" }, make("i", { style: `background:${palette.none}` }), "not known"),
    );
  else for (const swatch of swatches) parts.push(make("span", { class: "swatch" }, make("i", { style: `background:${swatch.fill}` }), `${swatch.label} `, make("span", { class: "quiet" }, String(swatch.count))));
  if (marks)
    for (const [label, colour, sign] of [["new", palette.fresh, "+"], ["changed", palette.changed, "~"], [removed, palette.removed, "−"]])
      parts.push(make("span", { class: "swatch" }, make("i", { class: "ring", style: `border-color:${colour};color:${colour}` }, sign), label));
  if (mark) parts.push(make("label", { class: "swatch" }, make("input", { type: "checkbox", checked: marks, onchange: (event) => mark(event.target.checked) }), "mark changes"));
  legend.replaceChildren(make("summary", {}, `Colour: ${mode.title}`), make("div", { class: "swatches" }, ...parts), text ? make("p", { class: "quiet" }, text) : "");
}
