"use strict";

/** A chart on paper is drawn for half a page, so that its letters keep their size. */
const PAPER_WIDTH = 345;

/** One chart: draws itself as SVG, tells values under the pointer, and takes part in the zoom of all. */
class ChartView {
  constructor(chart) {
    this.chart = chart;
    this.figure = document.getElementById(`figure-${chart.key}`);
    this.element = document.getElementById(`chart-${chart.key}`);
    this.hidden = new Set(chart.curves.flatMap((curve, index) => (curve.off ? [index] : [])));
    this.isTime = chart.kind === "time" || chart.kind === "events";
    this.range = null;
    this.tip = html("div", "tip");
    this.tip.hidden = true;
    this.figure.append(this.tip);
    const unit = this.figure.querySelector("h3 .unit");
    unit.textContent = chart.kind === "delay" ? "share of tasks" : chart.unit;
    this.legend();
    this.listen();
  }

  /** What the x axis shows when nobody has zoomed. */
  get home() {
    const { chart } = this;
    if (this.isTime) return [0, REPORT.endS];
    if (chart.kind === "delay") return [0, chart.xEnd];
    const xs = chart.curves.flatMap((curve) => curve.x);
    const [low, high] = [Math.min(...xs), Math.max(...xs)];
    const air = low === high ? 0.5 : 0.04 * (high - low);
    return [low - air, high + air];
  }

  /** Where a second look at a distribution ends: at its last point. */
  get whole() {
    return [0, 1.02 * Math.max(...this.chart.curves.flatMap((curve) => curve.x), this.chart.xEnd)];
  }

  get curves() {
    return this.chart.curves.filter((_, index) => !this.hidden.has(index));
  }

  /** Names with their colours; touching one hides its curve. */
  legend() {
    const { chart } = this;
    const box = this.figure.querySelector(".legend");
    const isEvents = chart.kind === "events";
    const entries = isEvents ? REPORT.events : chart.curves;
    if (!isEvents && entries.length === 1 && REPORT.runs.length < 2 && chart.kind === "time") return;
    entries.forEach((entry, index) => {
      const key = svg("svg", { viewBox: "0 0 18 10", "aria-hidden": "true" });
      const ink = paint(entry.colour);
      if (isEvents) key.append(svg("path", { d: markerOf(MARKERS[entry.run % 4], 9, 5, 4), fill: ink }));
      else key.append(svg("path", { d: "M0 5H18", stroke: ink, "stroke-width": entry.faint ? 1.5 : 3 }));
      if (entry.faint) key.firstChild.setAttribute("stroke-dasharray", "3 2");
      const button = html("button", "", key, entry.label);
      button.type = "button";
      button.disabled = isEvents;
      button.setAttribute("aria-pressed", String(isEvents || !this.hidden.has(index)));
      button.addEventListener("click", () => {
        if (!this.hidden.delete(index)) this.hidden.add(index);
        button.setAttribute("aria-pressed", String(!this.hidden.has(index)));
        this.draw();
      });
      box.append(button);
    });
    if (chart.xLines.length) {
      const key = svg("svg", { viewBox: "0 0 18 10", "aria-hidden": "true" });
      key.append(svg("path", { d: "M9 0V10", stroke: paint(-1), "stroke-width": 2, "stroke-dasharray": "3 2" }));
      box.append(html("span", "", key, chart.xLines.length > 1 ? "deadlines" : chart.xLines[0][2]));
    }
  }

  draw() {
    const { chart, element } = this;
    const width = ChartView.paper ? PAPER_WIDTH : Math.max(element.clientWidth, 200);
    const lanes = [...new Set(REPORT.events.map((one) => one.kind))];
    const height = chart.kind === "events" ? 44 + 22 * lanes.length : width < 500 ? 190 : 220;
    const box = { left: chart.kind === "events" ? 12 : 50, right: width - 12, top: 10, bottom: height - 32 };
    const [from, to] = this.range ?? this.home;
    this.x = new Scale(from, to, box.left, box.right);
    this.box = box;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height });
    const clip = `clip-${chart.key}`;
    const frame = { x: box.left, y: box.top - 4, width: box.right - box.left, height: box.bottom - box.top + 8 };
    picture.append(svg("defs", {}, svg("clipPath", { id: clip }, svg("rect", frame))));
    const inside = svg("g", { "clip-path": `url(#${clip})` });
    if (chart.kind === "events") this.drawEvents(picture, inside, lanes);
    else this.drawCurves(picture, inside);
    this.drawAxisX(picture, height);
    this.cursor = svg("path", { class: "cursor", d: "" });
    this.head = svg("path", { class: "playhead", d: "" });
    this.choice = svg("rect", { class: "choice", y: box.top, height: box.bottom - box.top, width: 0 });
    inside.append(this.choice, this.cursor, this.head);
    picture.append(inside);
    element.replaceChildren(picture);
    this.playhead(ChartView.time);
  }

  drawCurves(picture, inside) {
    const { chart, box } = this;
    const [from, to] = this.range ?? this.home;
    const seen = [];
    for (const curve of this.curves) {
      const first = Math.max(placeOf(curve.x, from), 0);
      const last = Math.min(placeOf(curve.x, to) + 2, curve.x.length);
      for (const values of [curve.y, curve.low, curve.high]) if (values) seen.push(...values.slice(first, last));
    }
    if (chart.level) seen.push(chart.level[0]);
    const [low, high] = reachOf(seen, { log: chart.log, share: chart.kind === "delay" });
    this.y = new Scale(low, high, box.bottom, box.top, chart.log);
    const ticks = chart.log ? decadesOf(low, high, 5) : ticksOf(low, high, 5);
    for (const value of ticks) {
      const y = this.y.at(value).toFixed(1);
      picture.append(svg("path", { class: value === 0 ? "zero" : "grid", d: `M${box.left} ${y}H${box.right}` }));
      picture.append(svg("text", { x: box.left - 6, y: Number(y) + 4, "text-anchor": "end" }, spell(value)));
    }
    this.drawMarks(inside);
    for (const curve of this.curves) this.drawCurve(inside, curve);
    for (const [x, index] of chart.xLines) {
      const d = `M${this.x.at(x).toFixed(1)} ${box.top}V${box.bottom}`;
      inside.append(svg("path", { class: "deadline", d, stroke: paint(index) }));
    }
    if (chart.level) {
      const y = this.y.at(chart.level[0]).toFixed(1);
      inside.append(svg("path", { class: "level", d: `M${box.left} ${y}H${box.right}` }));
      picture.append(
        svg("text", { x: box.right, y: Number(y) + 15, "text-anchor": "end", class: "haloed" }, chart.level[1]),
      );
    }
  }

  drawCurve(inside, curve) {
    const { chart, x, y } = this;
    const ink = paint(curve.colour);
    if (chart.kind === "grid") {
      curve.x.forEach((value, index) => {
        if (!curve.low || curve.low[index] === null || curve.y[index] === null) return;
        const [place, low, high] = [x.at(value), y.at(curve.low[index]), y.at(curve.high[index])];
        const d = `M${place} ${low}V${high}M${place - 4} ${low}h8M${place - 4} ${high}h8`;
        inside.append(svg("path", { class: "whisker", d, stroke: ink }));
      });
    } else if (curve.low) {
      const d = areaOf(curve.x, curve.low, curve.high, x, y);
      inside.append(svg("path", { class: "band", d, fill: ink }));
    }
    const line = { class: curve.faint ? "line faint" : "line", stroke: ink };
    inside.append(svg("path", { ...line, d: lineOf(curve.x, curve.y, x, y, chart.stepped) }));
    if (chart.kind !== "grid") return;
    const kind = MARKERS[curve.colour % 4];
    curve.x.forEach((value, index) => {
      if (curve.y[index] === null) return;
      inside.append(svg("path", { d: markerOf(kind, x.at(value), y.at(curve.y[index]), 4), fill: ink }));
    });
  }

  /** Timed events are lines through every chart over time. */
  drawMarks(inside) {
    if (!this.isTime) return;
    for (const mark of REPORT.marks) {
      const d = mark.times.map((time) => `M${this.x.at(time).toFixed(1)} ${this.box.top}V${this.box.bottom}`).join("");
      inside.append(svg("path", { class: "mark", d, stroke: paint(mark.colour) }));
    }
  }

  drawEvents(picture, inside, lanes) {
    const { box } = this;
    lanes.forEach((kind, lane) => {
      const y = box.top + 20 + 22 * lane;
      picture.append(svg("path", { class: "grid", d: `M${box.left} ${y}H${box.right}` }));
      picture.append(svg("text", { x: box.left, y: y - 7, class: "haloed" }, kind));
    });
    for (const points of REPORT.events) {
      const y = box.top + 20 + 22 * lanes.indexOf(points.kind);
      const d = points.x.map((time) => markerOf(MARKERS[points.run % 4], this.x.at(time), y, 4.5)).join("");
      inside.append(svg("path", { class: "event", d, fill: paint(points.colour) }));
    }
  }

  drawAxisX(picture, height) {
    const { chart, box, x } = this;
    const count = Math.max(2, Math.floor((box.right - box.left) / 80));
    const whole = chart.kind === "grid" && chart.curves.every((curve) => curve.x.every(Number.isInteger));
    const places = ticksOf(x.low, x.high, count).filter((one) => !whole || Number.isInteger(one)); // half a seed is none
    const ticks = chart.xTicks.length ? chart.xTicks : places.map((one) => [one, spell(one)]);
    picture.append(svg("path", { class: "axis", d: `M${box.left} ${box.bottom}H${box.right}` }));
    for (const [value, label] of ticks) {
      if (value < x.low || value > x.high) continue;
      const place = x.at(value);
      picture.append(svg("path", { class: "axis", d: `M${place} ${box.bottom}v4` }));
      const anchor = place > box.right - 16 ? "end" : "middle";
      picture.append(svg("text", { x: place, y: box.bottom + 16, "text-anchor": anchor }, label));
    }
    const middle = (box.left + box.right) / 2;
    picture.append(svg("text", { x: middle, y: height - 3, "text-anchor": "middle", class: "title" }, chart.xTitle));
  }

  /** Show where the map is. */
  playhead(time) {
    if (!this.isTime || !this.head) return;
    const { box } = this;
    this.head.setAttribute("d", time > 0 ? `M${this.x.at(time).toFixed(1)} ${box.top}V${box.bottom}` : "");
  }

  /** Lines of the tip at an x, and the x that they are of. */
  readings(value) {
    if (this.chart.kind === "events") return this.eventReadings(value);
    let near = null;
    const rows = [];
    for (const curve of this.curves) {
      let place = placeOf(curve.x, value);
      if (this.chart.kind !== "delay" && place + 1 < curve.x.length && (place < 0 || curve.x[place + 1] - value < value - curve.x[place])) place++;
      if (place < 0) continue;
      near ??= this.chart.kind === "delay" ? value : curve.x[place];
      const band = curve.low && curve.low[place] !== null ? ` (${spell(curve.low[place])} to ${spell(curve.high[place])})` : "";
      rows.push([curve.colour, curve.label, spell(curve.y[place], 5) + band]);
    }
    return [near, rows];
  }

  eventReadings(value) {
    const reach = (12 / (this.box.right - this.box.left)) * (this.x.high - this.x.low);
    const rows = [];
    let near = null;
    for (const points of REPORT.events) {
      points.x.forEach((time, index) => {
        if (Math.abs(time - value) > reach || rows.length > 6) return;
        near ??= time;
        rows.push([points.colour, points.kind, points.text[index]]);
      });
    }
    return [near, rows];
  }

  showTip(event) {
    const bounds = this.element.getBoundingClientRect();
    const place = event.clientX - bounds.left;
    const [near, rows] = this.readings(this.x.value(place));
    this.tip.hidden = near === null || place < this.box.left - 8;
    if (this.tip.hidden) return this.hideTip();
    const at = this.x.at(near);
    this.cursor.setAttribute("d", `M${at.toFixed(1)} ${this.box.top}V${this.box.bottom}`);
    const tick = this.chart.xTicks.find(([value]) => value === near);
    const title = tick ? tick[1] : `${spell(near, 6)} ${this.chart.xTitle.split(" / ")[1] ?? ""}`;
    const lines = rows.map(([index, label, text]) => {
      const dot = html("i", `dot ${colourName(index)}`);
      return html("div", "", dot, html("span", "", label), html("b", "", text));
    });
    this.tip.replaceChildren(html("strong", "", title), ...lines);
    const outer = this.figure.getBoundingClientRect();
    const left = bounds.left - outer.left + at;
    const room = outer.width - this.tip.offsetWidth - 8;
    const beside = left + 14 > room ? left - this.tip.offsetWidth - 14 : left + 14;
    this.tip.style.left = `${Math.max(8, Math.min(beside, room))}px`;
    this.tip.style.top = `${bounds.top - outer.top + 6}px`;
  }

  hideTip() {
    this.tip.hidden = true;
    this.cursor?.setAttribute("d", "");
  }

  /** Zoom, all charts over time together; null shows everything. */
  zoom(range) {
    const views = this.isTime ? ChartView.all.filter((view) => view.isTime) : [this];
    for (const view of views) {
      view.range = range;
      view.figure.classList.toggle("zoomed", range !== null);
      view.draw();
    }
  }

  listen() {
    const { element } = this;
    let begin = null;
    const placed = (event) => {
      const place = event.clientX - element.getBoundingClientRect().left;
      return Math.min(Math.max(place, this.box.left), this.box.right);
    };
    element.addEventListener("pointermove", (event) => {
      if (begin !== null) {
        const end = placed(event);
        this.choice.setAttribute("x", Math.min(begin, end));
        this.choice.setAttribute("width", Math.abs(end - begin));
      }
      this.showTip(event);
    });
    element.addEventListener("pointerleave", () => this.hideTip());
    element.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") this.showTip(event); // a finger scrolls the page
      else if (event.button === 0) {
        begin = placed(event);
        element.setPointerCapture(event.pointerId);
      }
    });
    element.addEventListener("pointerup", (event) => {
      if (begin === null) return;
      const ends = [begin, placed(event)].sort((one, other) => one - other);
      begin = null;
      this.choice.setAttribute("width", 0);
      if (ends[1] - ends[0] > 6) this.zoom(ends.map((place) => this.x.value(place)));
      else if (this.isTime) tell("seek", this.x.value(ends[0]));
    });
    element.addEventListener("dblclick", () => {
      const further = this.chart.kind === "delay" && this.range === null ? this.whole : null;
      this.zoom(further);
    });
    const reset = html("button", "reset", "Show all");
    reset.type = "button";
    reset.addEventListener("click", () => this.zoom(null));
    this.figure.append(reset);
  }
}

ChartView.time = 0;
ChartView.paper = false;
ChartView.all = REPORT.charts.map((chart) => new ChartView(chart));

(() => {
  let rounds = 0;

  /** Draw one chart after the other, so that the page answers in between. */
  async function drawAll() {
    const round = ++rounds;
    for (const view of ChartView.all) {
      view.draw();
      await new Promise((resolve) => setTimeout(resolve));
      if (round !== rounds) return; // somebody has begun anew
    }
    document.documentElement.dataset.charts = "drawn";
  }

  let waiting;
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone hides its address bar
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  });
  window.addEventListener("clock", (event) => {
    ChartView.time = event.detail;
    for (const view of ChartView.all) view.playhead(event.detail);
  });
  function repaint(paper) {
    ChartView.paper = paper;
    for (const view of ChartView.all) view.draw();
    tell("repaint");
  }

  // What is folded is printed, too; and paper is light.
  const folded = () => [...document.querySelectorAll("details")];
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = folded().filter((one) => !one.open);
    for (const one of opened) one.open = true;
    document.documentElement.dataset.paper = "";
    repaint(true);
  });
  window.addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
    delete document.documentElement.dataset.paper;
    repaint(false);
  });
  drawAll();
})();
