"use strict";

const ABSENT = -32768;
const LARGEST = 32767;
const STATES = [
  { name: "no tasks, or in flight at the end", colour: -1, shape: 2 },
  { name: "all in time", colour: 0, shape: 0 },
  { name: "some late", colour: 4, shape: 1 },
  { name: "some dropped", colour: 1, shape: 3 },
];

/** Bytes of an array that the page holds in base64. */
function bytesOf(name) {
  const text = atob(REPORT.blobs[name]);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}

/** Little-endian 16 bit integers. */
function shortsOf(name) {
  return new Int16Array(bytesOf(name).buffer);
}

/** Where the vehicles of one run were: reads the arrays that the page holds. */
class Motion {
  constructor(player) {
    Object.assign(this, player);
    this.xs = shortsOf(player.x);
    this.ys = shortsOf(player.y);
    this.nodeOf = bytesOf(player.node);
    this.stateOf = bytesOf(player.state);
    this.beliefXs = player.belief ? shortsOf(player.belief.x) : null;
    this.beliefYs = player.belief ? shortsOf(player.belief.y) : null;
  }

  /** Number of the last frame at a time, and how far it is to the next one. */
  frameAt(time) {
    const exact = Math.min(Math.max(time / this.frameS, 0), this.frames - 1);
    const frame = Math.floor(exact + 1e-9);
    return [frame, Math.max(exact - frame, 0)];
  }

  metres(axis, value) {
    const [low, step] = this.axes[axis];
    return low + (value + LARGEST) * step;
  }

  /** Position of a seat between two frames: on a line, unless the road wraps around or somebody leaves. */
  position(seat, frame, part) {
    const here = frame * this.seats + seat;
    if (this.xs[here] === ABSENT) return null;
    let x = this.metres(0, this.xs[here]);
    let y = this.metres(1, this.ys[here]);
    const next = here + this.seats;
    if (part > 0 && frame + 1 < this.frames && this.xs[next] !== ABSENT) {
      const dx = this.metres(0, this.xs[next]) - x;
      const dy = this.metres(1, this.ys[next]) - y;
      if (Math.hypot(dx, dy) <= this.jumpM) {
        x += part * dx;
        y += part * dy;
      }
    }
    return [x, y];
  }

  /** Where the twin believed a seat in a frame. */
  believed(seat, frame) {
    const here = frame * this.seats + seat;
    if (!this.beliefXs || this.beliefXs[here] === ABSENT) return null;
    return [this.metres(0, this.beliefXs[here]), this.metres(1, this.beliefYs[here])];
  }

  /** Number of the vehicle that has a seat in a frame. */
  vehicle(seat, frame) {
    const slot = frame * this.step;
    const visit = this.visits.find(([of, first, last]) => of === seat && first <= slot && slot <= last);
    return visit ? visit[3] : null;
  }
}

/** Draws one moment of a run on a canvas. */
class RoadMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.shown = [];
  }

  /** Fit the road into the canvas; one that is much longer than wide is drawn wider than it is. */
  fit(motion) {
    this.motion = motion;
    const width = this.canvas.clientWidth;
    const [[left, , right], [bottom, , top]] = motion.axes;
    const across = Math.max(right - left, 1);
    const along = Math.max(top - bottom, 1);
    const pad = 34;
    const equal = (width - 2 * pad) / across;
    const height = Math.min(Math.max(equal * along + 2 * pad, 220), Math.max(0.75 * window.innerHeight, 300), 620);
    let scaleX = Math.min(equal, (height - 2 * pad) / along);
    let scaleY = scaleX;
    this.stretch = 1;
    if (equal * along + 2 * pad < height) {
      scaleX = equal;
      scaleY = (height - 2 * pad) / along;
      this.stretch = scaleY / scaleX;
    }
    const density = window.devicePixelRatio || 1;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * density);
    this.canvas.height = Math.round(height * density);
    this.context.setTransform(density, 0, 0, density, 0, 0);
    this.size = [width, height];
    const offsetX = (width - scaleX * across) / 2;
    const offsetY = (height - scaleY * along) / 2;
    this.scaleX = scaleX;
    this.place = ([x, y]) => [offsetX + (x - left) * scaleX, height - offsetY - (y - bottom) * scaleY];
  }

  /** Draw; `options`: colour "node" or "state", links, belief. */
  draw(time, options) {
    const { context, motion } = this;
    const [frame, part] = motion.frameAt(time);
    context.clearRect(0, 0, ...this.size);
    const groups = new Map();
    this.shown = [];
    for (let seat = 0; seat < motion.seats; seat++) {
      const position = motion.position(seat, frame, part);
      if (!position) continue;
      const node = motion.nodeOf[frame * motion.seats + seat];
      const state = motion.stateOf[frame * motion.seats + seat];
      const point = { at: this.place(position), seat, node, state };
      this.shown.push(point);
      const key = options.colour === "node" ? node : state;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(point);
    }
    if (options.links) this.drawLinks();
    if (options.belief) this.drawBelief(frame);
    for (const [key, points] of groups) this.drawVehicles(points, key, options.colour);
    this.drawNodes();
    this.drawScale();
  }

  drawLinks() {
    const { context, motion } = this;
    context.lineWidth = 1;
    context.globalAlpha = this.shown.length > 100 ? 0.12 : 0.35;
    motion.nodes.forEach((node, index) => {
      const from = this.place([node.x, node.y]);
      context.strokeStyle = colour(index);
      context.beginPath();
      for (const point of this.shown) {
        if (point.node !== index + 1) continue;
        context.moveTo(...from);
        context.lineTo(...point.at);
      }
      context.stroke();
    });
    context.globalAlpha = 1;
  }

  drawBelief(frame) {
    const { context, motion } = this;
    context.strokeStyle = styleColour("faint");
    context.lineWidth = 1.2;
    context.beginPath();
    for (const point of this.shown) {
      const believed = motion.believed(point.seat, frame);
      if (!believed) continue;
      const [x, y] = this.place(believed);
      context.moveTo(x + 8, y);
      context.arc(x, y, 8, 0, 2 * Math.PI);
    }
    context.stroke();
  }

  /** A kind of vehicle has a colour and a shape, for those who do not tell the colours apart. */
  drawVehicles(points, key, by) {
    const { context } = this;
    const radius = this.shown.length > 300 ? 3 : this.shown.length > 60 ? 4 : 5;
    const index = by === "node" ? key - 1 : STATES[key].colour;
    context.fillStyle = colour(index);
    context.beginPath();
    const outline = by === "node" ? Math.max(index, 0) : STATES[key].shape;
    for (const { at } of points) shape(context, outline, ...at, radius);
    context.fill();
  }

  drawNodes() {
    const { context, motion } = this;
    context.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
    context.lineJoin = "round";
    const rows = [];
    motion.nodes.forEach((node, index) => {
      const [x, y] = this.place([node.x, node.y]);
      context.fillStyle = colour(index);
      context.strokeStyle = styleColour("back");
      context.lineWidth = 3;
      context.beginPath();
      if (node.rsu) shape(context, 1, x, y, 9);
      else context.rect(x - 8, y - 8, 16, 16);
      context.stroke();
      context.fill();
      this.drawName(node.name, x, y, rows);
    });
  }

  /** Write a name over its node, or below it where another name is in the way. */
  drawName(name, x, y, rows) {
    const { context } = this;
    const width = context.measureText(name).width;
    const left = Math.min(Math.max(x - width / 2, 4), Math.max(this.size[0] - width - 4, 4));
    const meets = (row) => left < row.right && row.left < left + width;
    const overlaps = (top) => rows.some((row) => Math.abs(row.top - top) < 14 && meets(row));
    const top = [y - 14, y + 24, y - 28, y + 38].find((one) => !overlaps(one)) ?? y - 14;
    rows.push({ left, right: left + width, top });
    context.strokeStyle = styleColour("panel");
    context.lineWidth = 4;
    context.strokeText(name, left, top);
    context.fillStyle = styleColour("text");
    context.fillText(name, left, top);
  }

  drawScale() {
    const { context, size, scaleX } = this;
    const rough = (0.25 * size[0]) / scaleX;
    const power = 10 ** Math.floor(Math.log10(rough));
    const length = [5, 2, 1].map((step) => step * power).find((one) => one <= rough) ?? power;
    const y = size[1] - 10;
    context.strokeStyle = context.fillStyle = styleColour("faint");
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(10, y);
    context.lineTo(10 + length * scaleX, y);
    context.stroke();
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.fillText(length >= 1000 ? `${length / 1000} km` : `${length} m`, 10, y - 5);
  }

  /** The vehicle nearest to a point of the canvas, if one is near. */
  nearest(x, y) {
    let best = null;
    let least = 20;
    for (const point of this.shown) {
      const distance = Math.hypot(point.at[0] - x, point.at[1] - y);
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  }
}

/** Add a closed shape to the path: circle, triangle, square or diamond. */
function shape(context, kind, x, y, radius) {
  if (kind % 4 === 0) {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  const corners = [[], [-90, 30, 150], [-135, -45, 45, 135], [-90, 0, 90, 180]][kind % 4];
  corners.forEach((degrees, index) => {
    const angle = (degrees * Math.PI) / 180;
    const corner = [x + 1.25 * radius * Math.cos(angle), y + 1.25 * radius * Math.sin(angle)];
    if (index) context.lineTo(...corner);
    else context.moveTo(...corner);
  });
  context.closePath();
}
