// The whole drawing in a corner, with what is in view and the critical path.

import { byId } from "./dom.js";

/** @typedef {import("./scene.js").Scene} Scene @typedef {import("./camera.js").Camera} Camera */

const WIDEST_MAP = 120;
const NARROWEST_MAP = 44;

export class Minimap {
  /** @param {Scene} scene @param {Camera} camera */
  constructor(scene, camera) {
    this.scene = scene;
    this.camera = camera;
    this.canvas = /** @type {HTMLCanvasElement} */ (byId("minimap"));
    this.picture = document.createElement("canvas");
    this.scaleX = 1;
    this.scaleY = 1;
    this.pending = 0;
    /** @type {import("./colours.js").Palette | null} */
    this.palette = null;
    const follow = (/** @type {PointerEvent} */ event) => {
      const box = this.canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / this.scaleX, (event.clientY - box.top) / this.scaleY];
      camera.pan(0, 0);
      camera.place(x - camera.width / 2 / camera.scale, y - camera.height / 2 / camera.scale, camera.scale);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      follow(event);
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons && follow(event));
  }

  /** Draw the whole anew: another drawing, other colours, another path. @param {import("./colours.js").Palette} palette */
  redraw(palette) {
    this.palette = palette;
    const { drawing } = this.scene;
    if (!drawing) return;
    const { layout } = drawing;
    const room = Math.max(80, this.camera.height - 130);
    const narrow = this.camera.width < 500;
    const uniform = Math.min((narrow ? 60 : WIDEST_MAP) / layout.width, room / layout.height);
    const width = Math.round(Math.max(narrow ? 28 : NARROWEST_MAP, layout.width * uniform));
    const height = Math.round(Math.max(40, layout.height * uniform));
    this.scaleX = width / layout.width;
    this.scaleY = height / layout.height;
    const ratio = devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.picture]) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
    }
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const context = this.picture.getContext("2d");
    if (!context) return;
    context.scale(ratio, ratio);
    for (const [key, rect] of layout.rects) {
      const item = drawing.items.get(key);
      if (!item || item.kind === "open") continue;
      context.fillStyle = drawing.fillOf(item);
      context.fillRect(rect.x * this.scaleX, rect.y * this.scaleY, Math.max(2, rect.width * this.scaleX), Math.max(1, rect.height * this.scaleY));
      const change = drawing.changeOf(item);
      if (change) {
        context.fillStyle = { new: palette.fresh, changed: palette.changed, removed: palette.removed }[change];
        context.fillRect(0, rect.y * this.scaleY, 3, Math.max(1.5, rect.height * this.scaleY));
      }
    }
    context.strokeStyle = palette.focus;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const { from, to, points } of layout.routes) {
      if (!this.scene.path.has(from) || !this.scene.path.has(to)) continue;
      points.forEach((point, at) => (at ? context.lineTo(point.x * this.scaleX, point.y * this.scaleY) : context.moveTo(point.x * this.scaleX, point.y * this.scaleY)));
    }
    context.stroke();
    this.draw();
  }

  /** Draw before the next frame where the view is. */
  request() {
    this.pending ||= requestAnimationFrame(() => {
      this.pending = 0;
      this.draw();
    });
  }

  draw() {
    const context = this.canvas.getContext("2d");
    if (!context || !this.palette || this.picture.width === 0) return;
    const { camera, canvas } = this;
    const ratio = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.picture, 0, 0);
    context.scale(ratio, ratio);
    const [width, height] = [canvas.width / ratio, canvas.height / ratio];
    const x = Math.max(0.75, camera.x * this.scaleX);
    const y = Math.max(0.75, Math.min(height - 8, camera.y * this.scaleY));
    const right = Math.min(width - 0.75, (camera.x + camera.width / camera.scale) * this.scaleX);
    const bottom = Math.min(height - 0.75, (camera.y + camera.height / camera.scale) * this.scaleY);
    context.fillStyle = `${this.palette.focus}22`;
    context.strokeStyle = this.palette.focus;
    context.lineWidth = 1.5;
    context.beginPath();
    context.rect(x, y, Math.max(6, right - x), Math.max(6, bottom - y));
    context.fill();
    context.stroke();
  }
}
