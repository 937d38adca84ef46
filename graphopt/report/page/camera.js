// Which part of a drawing is seen, and the hands that move it: wheel, pinch, drag, keys.

import { calm } from "./dom.js";

const NEAREST = 3;

export class Camera {
  /** @param {SVGSVGElement} svg @param {() => void} changed called after each move */
  constructor(svg, changed) {
    this.svg = svg;
    this.changed = changed;
    /** The point of the drawing in the upper left corner, and pixels per unit. */
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    this.width = 0;
    this.height = 0;
    this.bounds = { width: 1, height: 1 };
    /** @type {(x: number, y: number, twice: boolean) => void} */
    this.onClick = () => {};
    this.flight = 0;
    this.moved = false;
    new ResizeObserver(() => this.measure() && this.changed()).observe(svg);
    this.measure();
    this.listen();
  }

  /** Take the size of the view; whether it is another one. */
  measure() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (width === this.width && height === this.height) return false;
    this.width = width;
    this.height = height;
    return true;
  }

  /** The width beside the map. */
  get room() {
    return this.width - (this.width < 500 ? 60 : 140);
  }

  get furthest() {
    return Math.min(0.5, 0.8 * Math.min(this.width / this.bounds.width, this.height / this.bounds.height));
  }

  /** @param {number} x @param {number} y @param {number} scale */
  place(x, y, scale) {
    this.scale = Math.max(this.furthest, Math.min(NEAREST, scale));
    const [wide, high] = [this.width / this.scale, this.height / this.scale];
    const slack = 0.6;
    this.x = Math.max(-wide * slack, Math.min(this.bounds.width - wide * (1 - slack), x));
    this.y = Math.max(-high * slack, Math.min(this.bounds.height - high * (1 - slack), y));
    this.changed();
  }

  /** @param {number} dx pixels @param {number} dy pixels */
  pan(dx, dy) {
    cancelAnimationFrame(this.flight);
    this.moved = true;
    this.place(this.x + dx / this.scale, this.y + dy / this.scale, this.scale);
  }

  /** Zoom around a point of the view. @param {number} factor @param {number} [atX] @param {number} [atY] */
  zoom(factor, atX = this.width / 2, atY = this.height / 2) {
    cancelAnimationFrame(this.flight);
    this.moved = true;
    const scale = Math.max(this.furthest, Math.min(NEAREST, this.scale * factor));
    this.place(this.x + atX / this.scale - atX / scale, this.y + atY / this.scale - atY / scale, scale);
  }

  /** Move there in a moment. @param {number} x @param {number} y @param {number} scale */
  fly(x, y, scale) {
    cancelAnimationFrame(this.flight);
    if (calm()) return this.place(x, y, scale);
    const from = { x: this.x + this.width / 2 / this.scale, y: this.y + this.height / 2 / this.scale, scale: this.scale };
    const to = { x: x + this.width / 2 / scale, y: y + this.height / 2 / scale };
    const began = performance.now();
    const step = () => {
      const t = Math.min(1, (performance.now() - began) / 260);
      const part = 1 - (1 - t) ** 3;
      const now = from.scale * (scale / from.scale) ** part;
      this.place(from.x + (to.x - from.x) * part - this.width / 2 / now, from.y + (to.y - from.y) * part - this.height / 2 / now, now);
      if (t < 1) this.flight = requestAnimationFrame(step);
    };
    step();
  }

  /** Bring a rectangle to the middle, near enough to read. @param {import("./elk.js").Rect} rect @param {boolean} [jump] */
  show(rect, jump = false) {
    const scale = Math.max(0.8, Math.min(1.4, this.scale));
    const fits = Math.min(scale, (this.width * 0.9) / rect.width, Math.max((this.height * 0.9) / rect.height, 0.2));
    const [x, y] = [rect.x + rect.width / 2 - this.width / 2 / fits, rect.y + Math.min(rect.height, this.height / fits) / 2 - this.height / 2 / fits];
    if (jump) this.place(x, y, fits);
    else this.fly(x, y, fits);
  }

  /** Whether a rectangle is wholly in view. @param {import("./elk.js").Rect} rect */
  sees(rect) {
    return rect.x >= this.x && rect.y >= this.y && rect.x + rect.width <= this.x + this.width / this.scale && rect.y + rect.height <= this.y + this.height / this.scale;
  }

  listen() {
    const { svg } = this;
    /** @type {Map<number, {x: number, y: number}>} */
    const fingers = new Map();
    let travelled = 0;
    let lastClick = { time: 0, x: 0, y: 0 };
    svg.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? this.height : 1;
        const box = svg.getBoundingClientRect();
        if (event.ctrlKey || event.metaKey) this.zoom(Math.exp((-event.deltaY * unit) / (Math.abs(event.deltaY) < 30 ? 100 : 400)), event.clientX - box.left, event.clientY - box.top);
        else if (event.shiftKey && event.deltaX === 0) this.pan(event.deltaY * unit, 0);
        else this.pan(event.deltaX * unit, event.deltaY * unit);
      },
      { passive: false },
    );
    svg.addEventListener("pointerdown", (event) => {
      if (event.button > 1) return;
      svg.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (fingers.size === 1) travelled = 0;
    });
    svg.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const now = { x: event.clientX, y: event.clientY };
      const others = [...fingers.entries()].filter(([id]) => id !== event.pointerId).map(([, finger]) => finger);
      travelled += Math.abs(now.x - last.x) + Math.abs(now.y - last.y);
      if (others.length === 0) {
        if (travelled > 4) this.pan(last.x - now.x, last.y - now.y);
      } else {
        const still = others[0];
        const box = svg.getBoundingClientRect();
        const reach = Math.hypot(now.x - still.x, now.y - still.y) / Math.max(1, Math.hypot(last.x - still.x, last.y - still.y));
        this.zoom(reach, (now.x + still.x) / 2 - box.left, (now.y + still.y) / 2 - box.top);
        this.pan((last.x - now.x) / 2, (last.y - now.y) / 2);
      }
      fingers.set(event.pointerId, now);
    });
    /** @param {PointerEvent} event */
    const release = (event) => {
      const held = fingers.delete(event.pointerId);
      if (!held || event.type !== "pointerup" || fingers.size > 0 || travelled > 4) return;
      const box = svg.getBoundingClientRect();
      const twice = event.timeStamp - lastClick.time < 350 && Math.hypot(event.clientX - lastClick.x, event.clientY - lastClick.y) < 8;
      lastClick = { time: twice ? 0 : event.timeStamp, x: event.clientX, y: event.clientY };
      this.onClick(this.x + (event.clientX - box.left) / this.scale, this.y + (event.clientY - box.top) / this.scale, twice);
    };
    svg.addEventListener("pointerup", release);
    svg.addEventListener("pointercancel", release);
  }
}
