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

  /** Pieces of the ways that were driven, at most about `count`: [x, y, x, y] in metres. */
  *ways(count) {
    const stride = Math.max(1, Math.ceil((this.frames * this.seats) / count));
    for (let frame = 0; frame + 1 < this.frames; frame += 1) {
      for (let seat = frame % stride; seat < this.seats; seat += stride) {
        const from = this.position(seat, frame, 0);
        const to = this.position(seat, frame + 1, 0);
        if (from && to && Math.hypot(to[0] - from[0], to[1] - from[1]) <= this.jumpM) yield [...from, ...to];
      }
    }
  }

  /** Where the twin believed a seat in a frame. */
  believed(seat, frame) {
    const here = frame * this.seats + seat;
    if (!this.beliefXs || this.beliefXs[here] === ABSENT) return null;
    return [this.metres(0, this.beliefXs[here]), this.metres(1, this.beliefYs[here])];
  }

  /** Number of the vehicle that has a seat in a frame, or its name if a mobility trace gives it one. */
  vehicle(seat, frame) {
    const slot = frame * this.step;
    const visit = this.visits.find(([of, first, last]) => of === seat && first <= slot && slot <= last);
    return visit ? visit[3] : null;
  }
}
