"use strict";

/** Ticks of an axis: about `count` of them at 1, 2 or 5 times a power of ten. */
function ticksOf(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; index++) found.push(index * step);
  return found.map((value) => Number(value.toPrecision(12)));
}

/** Powers of ten, at most about `count` of them. */
function decadesOf(low, high, count) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first + 1) / count));
  const found = [];
  for (let power = first; power <= last; power += step) found.push(10 ** power);
  return found;
}

/** One axis of a chart: where a value stands. */
class Scale {
  constructor(low, high, from, to, log = false) {
    Object.assign(this, { low, high, from, to, log });
  }

  static log(value) {
    return Math.log10(Math.max(value, 1e-300));
  }

  at(value) {
    const { low, high, log } = this;
    const part = log
      ? (Scale.log(value) - Scale.log(low)) / (Scale.log(high) - Scale.log(low))
      : (value - low) / (high - low);
    return this.from + part * (this.to - this.from);
  }

  value(place) {
    return this.low + ((place - this.from) / (this.to - this.from)) * (this.high - this.low);
  }
}

/** From the least to the largest value that is in sight, with a little air; from 0 on where 0 is near. */
function reachOf(values, { log = false, share = false } = {}) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value) || (log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = log ? [0.1, 1] : [0, 1];
  if (log) return [10 ** Math.floor(Math.log10(low) - 0.01), 10 ** Math.ceil(Math.log10(high) + 0.01)];
  if (share) return [0, 1];
  if (low > 0 && low < 1.5 * (high - low)) low = 0;
  if (high < 0 && -high < 1.5 * (high - low)) high = 0;
  if (low === high) [low, high] = low === 0 ? [0, 1] : [low - 0.1 * Math.abs(low), high + 0.1 * Math.abs(high)];
  const air = 0.06 * (high - low);
  return [low === 0 ? 0 : low - air, high === 0 ? 0 : high + air];
}

/** The `d` of a line through points; it breaks where a value is missing. */
function lineOf(xs, ys, scaleX, scaleY, stepped = false) {
  let path = "";
  let before = null;
  for (let index = 0; index < xs.length; index++) {
    if (ys[index] === null || xs[index] === null) {
      before = null;
      continue;
    }
    const x = scaleX.at(xs[index]).toFixed(1);
    const y = scaleY.at(ys[index]).toFixed(1);
    if (before === null) path += `M${x} ${y}`;
    else path += stepped ? `H${x}V${y}` : `L${x} ${y}`;
    before = y;
  }
  return path;
}

/** The `d` of the area between two lines, in pieces where a value is missing. */
function areaOf(xs, lows, highs, scaleX, scaleY) {
  let path = "";
  let begin = 0;
  while (begin < xs.length) {
    if (lows[begin] === null) {
      begin++;
      continue;
    }
    let end = begin;
    while (end < xs.length && lows[end] !== null) end++;
    const there = [];
    const back = [];
    for (let index = begin; index < end; index++) {
      const x = scaleX.at(xs[index]).toFixed(1);
      there.push(`${x} ${scaleY.at(highs[index]).toFixed(1)}`);
      back.push(`${x} ${scaleY.at(lows[index]).toFixed(1)}`);
    }
    path += `M${there.join("L")}L${back.reverse().join("L")}Z`;
    begin = end;
  }
  return path;
}

/** A small closed shape, for those who do not tell colours apart. */
function markerOf(kind, x, y, radius) {
  const r = radius;
  const shapes = {
    circle: `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
    diamond: `M${x} ${y - 1.3 * r}L${x + 1.3 * r} ${y}L${x} ${y + 1.3 * r}L${x - 1.3 * r} ${y}Z`,
    square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
    triangle: `M${x} ${y - 1.2 * r}L${x + 1.2 * r} ${y + r}L${x - 1.2 * r} ${y + r}Z`,
  };
  return shapes[kind];
}
