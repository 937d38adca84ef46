// From a story to a picture of one of its stages, without a browser: what `graphopt.report.picture` runs.

import { changesBetween, readStage } from "./story.js";
import { colouring, PALETTES } from "./colours.js";
import { drifts, fromElk, otherwise, toElk } from "./elk.js";
import { placeLabels } from "./labels.js";
import { drawingText } from "./paint.js";
import { closedAtFirst, scopesOf } from "./scopes.js";
import { visibleGraph } from "./visible.js";

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Change} Change @typedef {import("./visible.js").Visible} Visible @typedef {import("./visible.js").Item} Item */

/** What a thing in the drawing is coloured by. @param {import("./colours.js").Colouring} colours @param {import("./story.js").Stage} stage @param {import("./colours.js").Palette} palette @returns {(item: Item) => string} */
export function fillsOf(colours, stage, palette) {
  return (item) => {
    if (item.kind === "input" || item.kind === "output") return palette.end;
    if (item.record) return colours.fillOf([item.record]);
    return colours.fillOf(item.ids.flatMap((id) => stage.byId.get(id) ?? []));
  };
}

/** How a thing changed: a closed box changed where anything in it did. @param {Map<number, Change>} changes @returns {(item: Item) => Change | null} */
export function changeOfItem(changes) {
  return (item) => {
    if (item.kind === "open") return null;
    if (item.ids.length === 1) return changes.get(item.ids[0]) ?? null;
    const found = new Set(item.ids.map((id) => changes.get(id) ?? null));
    if (found.size === 0 || (found.size === 1 && found.has(null))) return null;
    return found.size === 1 ? [...found][0] : "changed";
  };
}

/**
 * The picture of a stage. @param {Story} story @param {number} index @param {boolean} whole whether no box is closed @param {string} title
 * @param {(graph: import("./elk.js").ElkNode) => import("./elk.js").ElkNode} layout @returns {string}
 */
export function picture(story, index, whole, title, layout) {
  const stage = readStage(story, index);
  const scopes = scopesOf(stage);
  const visible = visibleGraph(stage, scopes, whole ? new Set() : closedAtFirst(scopes));
  const graph = toElk(visible);
  const answer = layout(graph);
  const other = drifts(answer) ? layout(otherwise(graph)) : answer;
  return pictureText(visible, (other.width ?? 0) < (answer.width ?? 0) ? other : answer, title);
}

/** @param {Visible} visible @param {import("./elk.js").ElkNode} answer @param {string} title @returns {string} */
function pictureText(visible, answer, title) {
  const { stage, items } = visible;
  const layout = fromElk(answer, visible);
  const before = stage.index > 0 ? readStage(stage.story, stage.index - 1) : null;
  const changes = before ? changesBetween(before, stage) : new Map();
  const palette = PALETTES.light;
  return drawingText(
    {
      items, layout,
      labels: placeLabels(stage.story, layout, (key) => items.get(key)?.kind === "open"),
      fillOf: fillsOf(colouring(stage, "operator", palette), stage, palette),
      changeOf: changeOfItem(changes),
      linkChangeOf: () => null,
    },
    palette, title,
  );
}
