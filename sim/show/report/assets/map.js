"use strict";

const WAYS_MAX = 6000;
const TRAIL_S = 1.5;

/** Draws one moment of a run on a canvas. */
class RoadMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.ground = document.createElement("canvas");
    this.shown = [];
  }

  /** Fit the road into the canvas, at most `highest` pixels high; one that is much longer than wide is drawn wider. */
  fit(motion, highest) {
    this.motion = motion;
    const width = this.canvas.clientWidth;
    const [[left, , right], [bottom, , top]] = motion.axes;
    const across = Math.max(right - left, 1);
    const along = Math.max(top - bottom, 1);
    const pad = Math.min(40, 0.08 * width + 14);
    const equal = (width - 2 * pad) / across;
    const height = Math.round(Math.min(Math.max(equal * along + 2 * pad, 0.24 * width, 290), highest));
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
    for (const canvas of [this.canvas, this.ground]) {
      canvas.width = Math.round(width * density);
      canvas.height = Math.round(height * density);
      canvas.getContext("2d").setTransform(density, 0, 0, density, 0, 0);
    }
    this.size = [width, height];
    const offsetX = (width - scaleX * across) / 2;
    const offsetY = (height - scaleY * along) / 2;
    this.scaleX = scaleX;
    this.place = ([x, y]) => [offsetX + (x - left) * scaleX, height - offsetY - (y - bottom) * scaleY];
    this.drawGround();
  }

  /** The road is where anybody drove: drawn once, below everything. */
  drawGround() {
    const context = this.ground.getContext("2d");
    context.clearRect(0, 0, ...this.size);
    context.lineCap = context.lineJoin = "round";
    const pieces = [...this.motion.ways(WAYS_MAX)].map(([x, y, toX, toY]) => [this.place([x, y]), this.place([toX, toY])]);
    const wide = Math.min(Math.max(0.015 * this.size[0], 6), 12);
    for (const [width, name] of [[wide + 3, "edge"], [wide, "road"]]) {
      context.lineWidth = width;
      context.strokeStyle = styleColour(name);
      context.beginPath();
      for (const [from, to] of pieces) {
        context.moveTo(...from);
        context.lineTo(...to);
      }
      context.stroke();
    }
  }

  /** Draw; `options`: colour "node" or "state", links, belief. */
  draw(time, options) {
    const { context, motion } = this;
    const [frame, part] = motion.frameAt(time);
    context.clearRect(0, 0, ...this.size);
    context.drawImage(this.ground, 0, 0, ...this.size);
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
    const ordered = [...groups].sort(([one], [other]) => one - other); // what is worst is on top
    for (const [key, points] of ordered) this.drawTrails(points, key, options.colour, time);
    for (const [key, points] of ordered) this.drawVehicles(points, key, options.colour);
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
    context.strokeStyle = styleColour("text");
    context.lineWidth = 1.2;
    context.beginPath();
    for (const point of this.shown) {
      const believed = motion.believed(point.seat, frame);
      if (!believed) continue;
      const [x, y] = this.place(believed);
      context.moveTo(x + 9, y);
      context.arc(x, y, 9, 0, 2 * Math.PI);
    }
    context.stroke();
  }

  static inkOf(key, by) {
    return colour(by === "node" ? key - 1 : STATES[key].colour);
  }

  /** Where a vehicle comes from, so that a still picture shows who drives where. */
  drawTrails(points, key, by, time) {
    const { context, motion } = this;
    if (this.shown.length > 150) return;
    context.strokeStyle = RoadMap.inkOf(key, by);
    context.lineWidth = 3;
    context.lineCap = "round";
    context.globalAlpha = 0.3;
    const [past, part] = motion.frameAt(time - TRAIL_S);
    const [frame] = motion.frameAt(time);
    context.beginPath();
    for (const { at, seat } of points) {
      const from = motion.position(seat, past, part);
      const before = from && this.place(from);
      const reach = motion.jumpM * (frame - past + 1) * this.scaleX;
      if (!before || Math.abs(before[0] - at[0]) > reach || motion.vehicle(seat, past) !== motion.vehicle(seat, frame)) continue;
      context.moveTo(...before);
      context.lineTo(...at);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  /** A kind of vehicle has a colour and a shape, for those who do not tell the colours apart. */
  drawVehicles(points, key, by) {
    const { context } = this;
    const radius = this.shown.length > 300 ? 3 : this.shown.length > 60 ? 4 : 6;
    context.fillStyle = RoadMap.inkOf(key, by);
    context.strokeStyle = styleColour("panel");
    context.lineWidth = 1.5;
    context.beginPath();
    const outline = by === "node" ? Math.max(key - 1, 0) : STATES[key].shape;
    for (const { at } of points) shape(context, outline, ...at, radius);
    context.fill();
    context.stroke();
  }

  drawNodes() {
    const { context, motion } = this;
    context.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
    context.lineJoin = "round";
    const rows = [];
    motion.nodes.forEach((node, index) => {
      const [x, y] = this.place([node.x, node.y]);
      context.fillStyle = colour(index);
      context.strokeStyle = styleColour("panel");
      context.lineWidth = 3;
      context.beginPath();
      if (node.rsu) shape(context, 1, x, y, 9);
      else context.rect(x - 8, y - 8, 16, 16);
      context.stroke();
      context.fill();
      this.drawName(node.name, x, y, rows);
    });
  }

  /** Write a name over its node, or below it where another name is in the way or the picture ends. */
  drawName(name, x, y, rows) {
    const { context } = this;
    const width = context.measureText(name).width;
    const left = Math.min(Math.max(x - width / 2, 4), Math.max(this.size[0] - width - 4, 4));
    const meets = (row) => left < row.right && row.left < left + width;
    const free = (top) => top > 12 && !rows.some((row) => Math.abs(row.top - top) < 14 && meets(row));
    const top = [y - 14, y + 24, y - 28, y + 38].find(free) ?? y - 14;
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
