// The drawings of a story's stages: what is visible, laid out and labelled, each made once.

import { fromElk, toElk } from "./elk.js";
import { placeLabels } from "./labels.js";
import { scopesOf } from "./scopes.js";
import { changesBetween, overlay, readStage } from "./story.js";
import { visibleGraph } from "./visible.js";

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").Change} Change @typedef {import("./elk.js").Layout} Layout */
/** @typedef {{visible: import("./visible.js").Visible, layout: Layout, labels: import("./labels.js").Label[]}} Placed */

export class Drawings {
  /** @param {Story} story @param {import("./layouter.js").Layouter} layouter */
  constructor(story, layouter) {
    this.story = story;
    this.layouter = layouter;
    /** @type {Map<string, unknown>} */
    this.known = new Map();
  }

  /** What was made under a name, or is made now. @template T @param {string} name @param {() => T} build @returns {T} */
  once(name, build) {
    if (!this.known.has(name)) this.known.set(name, build());
    return /** @type {T} */ (this.known.get(name));
  }

  /** @param {number} index @returns {Stage} */
  stage(index) {
    return this.once(`stage ${index}`, () => readStage(this.story, index));
  }

  /** Both stages as one graph. @param {number} before @param {number} after @returns {Stage} */
  overlay(before, after) {
    return this.once(`overlay ${before} ${after}`, () => overlay(this.stage(before), this.stage(after)));
  }

  /** @param {Stage} stage */
  scopes(stage) {
    return this.once(`scopes ${stage.title}${stage.index}`, () => scopesOf(stage));
  }

  /** @param {number} before @param {number} after @returns {Map<number, Change>} */
  changes(before, after) {
    return this.once(`changes ${before} ${after}`, () => changesBetween(this.stage(before), this.stage(after)));
  }

  /** What a stage shows of its own: what came with it, and what the next pass takes away. @param {number} index @returns {Map<number, Change>} */
  marks(index) {
    return this.once(`marks ${index}`, () => {
      /** @type {Map<number, Change>} */
      const marks = new Map();
      if (index + 1 < this.story.stages.length) for (const [id, change] of this.changes(index, index + 1)) if (change === "removed") marks.set(id, change);
      if (index > 0) for (const [id, change] of this.changes(index - 1, index)) if (change !== "removed") marks.set(id, change);
      return marks;
    });
  }

  /** @param {Stage} stage @param {ReadonlySet<string>} closed @param {boolean} urgent @returns {Promise<Placed>} */
  async place(stage, closed, urgent) {
    const scopes = this.scopes(stage);
    const shut = [...closed].filter((key) => scopes.boxes.has(key)).sort().join("\n");
    const name = `${stage.index} ${stage.title}\n${shut}`;
    /** @type {import("./visible.js").Visible | undefined} */
    let visible;
    const see = () => (visible ??= visibleGraph(stage, scopes, closed));
    const layout = await this.layouter.layout(name, () => toElk(see()), (answer) => fromElk(answer, see()), urgent);
    const shown = see();
    return { visible: shown, layout, labels: this.labels(layout, shown) };
  }

  /** @param {Layout} layout @param {import("./visible.js").Visible} visible */
  labels(layout, visible) {
    const made = /** @type {{labels?: import("./labels.js").Label[]}} */ (layout);
    return (made.labels ??= placeLabels(this.story, layout, (key) => visible.items.get(key)?.kind === "open"));
  }
}
