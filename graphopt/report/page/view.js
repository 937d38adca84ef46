// One drawing with its camera: the page has one, and a second beside it to compare with.

import { Camera } from "./camera.js";
import { makeSvg } from "./dom.js";
import { Scene } from "./scene.js";

/** @typedef {import("./visible.js").Item} Item */

export class View {
  /** @param {SVGSVGElement} svg @param {() => void} moved */
  constructor(svg, moved) {
    this.svg = svg;
    svg.append(makeSvg("title"));
    this.camera = new Camera(svg, () => {
      this.scene?.request();
      moved();
    });
    this.scene = new Scene(svg, this.camera);
    /** @type {import("./drawings.js").Placed | null} */
    this.placed = null;
    /** Which request for a drawing was the last, so that older answers are dropped. */
    this.asked = 0;
  }

  /** All of the width in view where it is legible so, at the height that is looked at. */
  narrow() {
    const layout = this.placed?.layout;
    const { camera } = this;
    if (!layout || camera.width === 0) return;
    const scale = Math.max(0.5, Math.min(camera.scale, camera.room / layout.width));
    camera.place((layout.width - camera.room / scale) / 2, camera.y, scale);
  }

  /** The start of the graph, as large as its width allows, within what is legible. */
  fit() {
    const layout = this.placed?.layout;
    if (!layout || this.camera.width === 0) return;
    const { camera } = this;
    const first = [...(this.placed?.visible.items.values() ?? [])].find((item) => item.kind !== "open");
    const rect = first ? layout.rects.get(first.key) : undefined;
    const scale = Math.max(0.5, Math.min(1.15, camera.room / layout.width));
    const wide = camera.room / scale;
    const x = layout.width <= wide || !rect ? (layout.width - wide) / 2 : Math.max(-20, Math.min(layout.width - wide + 20, rect.x + rect.width / 2 - wide / 2));
    camera.place(x, -12 / scale, scale);
  }
}
