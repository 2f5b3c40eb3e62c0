"use strict";

/** The maps of all runs, on one clock. */
(() => {
  const find = (id) => document.getElementById(id);
  if (!find("map")) return;
  // The shapes of `shape`, for the legend.
  const OUTLINES = ["M6 0A6 6 0 1 1 -6 0A6 6 0 1 1 6 0Z", "M0-7 6 4-6 4Z", "M-5-5H5V5H-5Z", "M0-7 7 0 0 7-7 0Z"];
  const LIVE = [
    ["penalty", "penalty", (value) => spell(value, 3)],
    ["missed", "missed", (value) => (value === null ? "none" : `${spell(100 * value, 2)} %`)],
    ["energy", "energy", (value) => (value === null ? "none" : `${spell(value, 3)} J per slot`)],
    ["waiting", "waiting now", (value) => (value === null ? "none" : `${spell(value, 2)} s`)],
  ];
  const endS = Math.max(...REPORT.players.map((player) => player?.endS ?? 0)) || REPORT.endS;
  const state = { time: 0, playing: false, last: 0 };
  const views = REPORT.players.map((player, index) => {
    const canvas = find(`road-${index}`);
    return { index, canvas, map: new RoadMap(canvas), motion: player && new Motion(player), live: find(`live-${index}`) };
  });
  const shown = views.filter((view) => view.motion);
  let head = null;

  const options = (motion) => ({
    colour: find("colour").value,
    links: find("links").checked,
    belief: find("belief").checked && motion.belief !== undefined,
  });

  /** How high a map may be: all of them fit the first screen, with the clock below them, if that leaves enough. */
  function highest() {
    const top = find("maps").getBoundingClientRect().top + window.scrollY;
    const columns = getComputedStyle(find("maps")).gridTemplateColumns.split(" ").length;
    const rows = columns > 1 || shown.length === 1 ? Math.ceil(views.length / columns) : 1;
    const caption = views[0].canvas.offsetTop - views[0].canvas.parentElement.offsetTop;
    const room = (window.innerHeight - top - 118) / rows - caption - 14;
    const least = shown.length > 1 ? 170 : 260;
    return Math.min(Math.max(room, least), 620);
  }

  function fit() {
    if (!find("maps").clientWidth) return; // a window without a size
    const limit = highest();
    for (const view of shown) view.map.fit(view.motion, limit);
    const times = Number(Math.max(...shown.map((view) => view.map.stretch), 1).toPrecision(2));
    find("stretch").textContent = times > 1.05 ? `The road is drawn ${times} times as wide as it is.` : "";
    drawStrip();
    show();
  }

  function show() {
    state.time = Math.min(Math.max(state.time, 0), endS);
    for (const view of shown) view.map.draw(Math.min(state.time, view.motion.endS), options(view.motion));
    for (const view of views) tellLive(view);
    const frameS = shown[0]?.motion.frameS ?? 1;
    const scrub = find("scrub");
    find("time").textContent = `${state.time.toFixed(frameS < 0.1 ? 2 : 1)} s`;
    scrub.value = state.time;
    scrub.setAttribute("aria-valuetext", find("time").textContent);
    head?.setAttribute("transform", `translate(${((state.time / endS) * 1000).toFixed(2)} 0)`);
    tell("clock", state.time);
  }

  /** How a run stands: means up to now, of the slots that have begun. */
  function tellLive(view) {
    const live = REPORT.live[view.index];
    const place = Math.max(placeOf(live.x, state.time), 0);
    const told = LIVE.filter(([key]) => REPORT.live.some((one) => one[key].some((value) => value)));
    const entries = told.map(([key, label, text]) => {
      return html("span", "", `${label} `, html("b", "", text(live[key][place] ?? null)));
    });
    view.live.replaceChildren(html("span", "so-far", "so far:"), ...entries);
  }

  /** The strip under the maps: a curve of each run, the timed events, and where the clock is. */
  function drawStrip() {
    const { curves, label } = REPORT.strip;
    const high = Math.max(...curves.flatMap((curve) => curve.y.filter((value) => value !== null)), 0);
    const low = Math.min(...curves.flatMap((curve) => curve.y.filter((value) => value !== null)), 0);
    const x = new Scale(0, endS, 0, 1000);
    const y = new Scale(low, high > low ? high : low + 1, 38, 4);
    const picture = svg("svg", { viewBox: "0 0 1000 40", preserveAspectRatio: "none" });
    for (const mark of REPORT.marks) {
      const d = mark.times.map((time) => `M${x.at(time).toFixed(1)} 0V40`).join("");
      picture.append(svg("path", { class: "mark", d, stroke: paint(mark.colour) }));
    }
    for (const curve of curves) {
      const ink = paint(curves.length > 1 ? REPORT.runs[curve.run].colour : 1);
      if (curves.length === 1) {
        const floor = curve.y.map((value) => (value === null ? null : Math.max(low, Math.min(0, high))));
        picture.append(svg("path", { class: "band", d: areaOf(curve.x, floor, curve.y, x, y), fill: ink }));
      }
      picture.append(svg("path", { class: "line", d: lineOf(curve.x, curve.y, x, y), stroke: ink }));
    }
    head = svg("path", { class: "playhead", d: "M0 0V40" });
    picture.append(head);
    find("strip").replaceChildren(picture, html("span", "name", label));
  }

  function legend() {
    const byNode = find("colour").value === "node";
    const nodes = shown[0]?.motion.nodes ?? [];
    const entries = byNode
      ? nodes.map((node, index) => [node.name, index, index])
      : STATES.map((one) => [one.name, one.colour, one.shape]);
    if (byNode && shown.some((view) => view.motion.nodeOf.includes(0))) entries.push(["no node", -1, 0]);
    find("legend").replaceChildren(
      ...entries.map(([name, index, kind]) => {
        const picture = svg("svg", { viewBox: "-8 -8 16 16" }, svg("path", { d: OUTLINES[kind % 4], fill: paint(index) }));
        const entry = html("span", "", picture, name);
        entry.setAttribute("role", "listitem");
        return entry;
      }),
    );
  }

  function play(wanted) {
    if (!shown.length) return;
    state.playing = wanted;
    if (wanted && state.time >= endS) state.time = 0;
    find("play-word").textContent = wanted ? "Pause" : "Play";
    find("play-sign").textContent = wanted ? "\u275a\u275a" : "\u25b6";
    state.last = performance.now();
    if (wanted) requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!state.playing) return;
    // A page in the background is not drawn: it goes on where it was.
    const passed = Math.min(Math.max(now - state.last, 0), 250) / 1000;
    state.last = now;
    state.time += passed * Number(find("speed").value);
    show();
    if (state.time >= endS) play(false);
    else requestAnimationFrame(tick);
  }

  function seek(time) {
    state.time = time;
    show();
  }

  function tellVehicle(view, event) {
    const box = view.canvas.getBoundingClientRect();
    const found = view.map.nearest(event.clientX - box.left, event.clientY - box.top);
    if (!found) return;
    const [frame] = view.motion.frameAt(state.time);
    const node = found.node ? `served by ${view.motion.nodes[found.node - 1]?.name ?? "a node"}` : "without a node";
    const vehicle = view.motion.vehicle(found.seat, frame);
    const run = views.length > 1 ? `${REPORT.runs[view.index].name}: ` : "";
    find("told").textContent = `${run}Vehicle ${vehicle}: ${node}, its tasks of this slot: ${STATES[found.state].name}.`;
  }

  const step = shown[0]?.motion.frameS ?? 1;
  const KEYS = {
    " ": () => play(!state.playing),
    ArrowRight: () => seek(state.time + step),
    ArrowLeft: () => seek(state.time - step),
    ArrowUp: () => seek(state.time + 10 * step),
    ArrowDown: () => seek(state.time - 10 * step),
    Home: () => seek(0),
    End: () => seek(endS),
  };

  find("play").disabled = find("scrub").disabled = !shown.length;
  find("play").addEventListener("click", () => play(!state.playing));
  find("scrub").max = endS;
  find("scrub").addEventListener("input", (event) => seek(Number(event.target.value)));
  find("colour").addEventListener("change", () => (legend(), show()));
  find("links").addEventListener("change", show);
  find("belief").addEventListener("change", show);
  find("belief-label").hidden = !shown.some((view) => view.motion.belief);
  for (const view of shown) {
    view.canvas.addEventListener("pointermove", (event) => tellVehicle(view, event));
    view.canvas.addEventListener("pointerdown", (event) => tellVehicle(view, event));
    view.canvas.addEventListener("keydown", (event) => {
      if (!KEYS[event.key]) return;
      event.preventDefault();
      KEYS[event.key]();
    });
  }
  window.addEventListener("resize", fit);
  window.addEventListener("seek", (event) => seek(event.detail));
  window.addEventListener("repaint", fit);
  darkMode.addEventListener("change", fit);
  // Where there are several nodes, one sees first who is served by which.
  if (shown.length === 1 && shown[0].motion.nodes.length > 1) find("colour").value = "node";
  legend();
  fit();
})();
