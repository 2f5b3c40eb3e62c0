"use strict";

(() => {
  const find = (id) => document.getElementById(id);
  const canvas = find("road");
  const map = new RoadMap(canvas);
  const motions = new Map();
  // The shapes of `shape`, for the legend.
  const OUTLINES = ["M6 0A6 6 0 1 1 -6 0A6 6 0 1 1 6 0Z", "M0-7 6 4-6 4Z", "M-5-5H5V5H-5Z", "M0-7 7 0 0 7-7 0Z"];
  const state = { time: 0, playing: false, last: 0, motion: null };

  const options = () => ({
    colour: find("colour").value,
    links: find("links").checked,
    belief: find("belief").checked && state.motion.belief !== undefined,
  });

  /** Show a run; its arrays are read when it is first shown. */
  function choose(index) {
    const player = REPORT.players[index];
    find("play").disabled = find("scrub").disabled = !player;
    if (!player) {
      state.motion = null;
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      find("told").textContent = "Nobody was on the road.";
      return;
    }
    if (!motions.has(index)) motions.set(index, new Motion(player));
    state.motion = motions.get(index);
    find("scrub").max = player.endS;
    find("belief-label").hidden = player.belief === undefined;
    fit();
    legend();
  }

  function fit() {
    if (!state.motion) return;
    map.fit(state.motion);
    const times = Number(map.stretch.toPrecision(2));
    find("stretch").textContent = times > 1 ? `The road is drawn ${times} times as wide as it is.` : "";
    show();
  }

  function show() {
    if (!state.motion) return;
    state.time = Math.min(Math.max(state.time, 0), state.motion.endS);
    map.draw(state.time, options());
    find("time").textContent = `${state.time.toFixed(state.motion.frameS < 0.1 ? 2 : 1)} s`;
    find("scrub").value = state.time;
    find("scrub").setAttribute("aria-valuetext", find("time").textContent);
  }

  function legend() {
    const ns = "http://www.w3.org/2000/svg";
    const byNode = find("colour").value === "node";
    const entries = byNode
      ? state.motion.nodes.map((node, index) => [node.name, index, index])
      : STATES.map((one) => [one.name, one.colour, one.shape]);
    if (byNode && state.motion.nodeOf.includes(0)) entries.push(["no node", -1, 0]);
    find("legend").replaceChildren(
      ...entries.map(([name, index, kind]) => {
        const entry = document.createElement("span");
        entry.setAttribute("role", "listitem");
        const picture = document.createElementNS(ns, "svg");
        picture.setAttribute("viewBox", "-8 -8 16 16");
        const outline = document.createElementNS(ns, "path");
        outline.setAttribute("d", OUTLINES[kind % 4]);
        outline.setAttribute("fill", colour(index));
        picture.append(outline);
        entry.append(picture, name);
        return entry;
      }),
    );
  }

  function play(wanted) {
    if (!state.motion) return;
    state.playing = wanted;
    if (wanted && state.time >= state.motion.endS) state.time = 0;
    find("play").textContent = wanted ? "Pause" : "Play";
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
    if (state.time >= state.motion.endS) play(false);
    else requestAnimationFrame(tick);
  }

  function seek(time) {
    state.time = time;
    show();
  }

  function tell(event) {
    const box = canvas.getBoundingClientRect();
    const found = state.motion && map.nearest(event.clientX - box.left, event.clientY - box.top);
    if (!found) return;
    const [frame] = state.motion.frameAt(state.time);
    const node = found.node ? `served by ${state.motion.nodes[found.node - 1]?.name ?? "a node"}` : "without a node";
    const vehicle = state.motion.vehicle(found.seat, frame);
    find("told").textContent = `Vehicle ${vehicle}: ${node}, its tasks of this slot: ${STATES[found.state].name}.`;
  }

  const KEYS = {
    " ": () => play(!state.playing),
    ArrowRight: () => seek(state.time + state.motion.frameS),
    ArrowLeft: () => seek(state.time - state.motion.frameS),
    ArrowUp: () => seek(state.time + 10 * state.motion.frameS),
    ArrowDown: () => seek(state.time - 10 * state.motion.frameS),
    Home: () => seek(0),
    End: () => seek(state.motion.endS),
  };

  find("play").addEventListener("click", () => play(!state.playing));
  find("scrub").addEventListener("input", (event) => seek(Number(event.target.value)));
  find("map-run").addEventListener("change", (event) => choose(Number(event.target.value)));
  find("colour").addEventListener("change", () => (legend(), show()));
  find("links").addEventListener("change", show);
  find("belief").addEventListener("change", show);
  canvas.addEventListener("pointermove", tell);
  canvas.addEventListener("pointerdown", tell);
  canvas.addEventListener("keydown", (event) => {
    if (!state.motion || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  window.addEventListener("resize", fit);
  window.addEventListener("seek", (event) => seek(event.detail));
  darkMode.addEventListener("change", () => state.motion && (legend(), fit()));
  // Where there is one node, vehicles of its colour say nothing.
  if (REPORT.players.every((player) => !player || player.nodes.length === 1)) find("colour").value = "state";
  choose(0);
})();
