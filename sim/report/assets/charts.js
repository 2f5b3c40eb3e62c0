"use strict";

(() => {
  // Named one by one: none of them sends anything anywhere.
  const BUTTONS = [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]];
  const timeCharts = [];
  let following = false;
  let rounds = 0;

  /** `#rrggbb` with an opacity. */
  function translucent(hex, opacity) {
    const part = (from) => parseInt(hex.slice(from, from + 2), 16);
    return `rgba(${part(1)},${part(3)},${part(5)},${opacity})`;
  }

  /** Traces of one curve: its line, and below it the band from the least to the largest value of a bin. */
  function tracesOf(curve, chart) {
    const line = {
      type: "scatter",
      mode: "lines",
      name: plain(curve.label),
      x: curve.x,
      y: curve.y,
      connectgaps: false,
      legendgroup: curve.label,
      line: {
        color: colour(curve.colour),
        width: curve.faint ? 1 : 1.8,
        dash: REPORT.runs.length > 1 ? DASHES[curve.run % DASHES.length] : curve.faint ? "dot" : "solid",
        shape: chart.kind === "delay" ? "hv" : "linear",
      },
    };
    if (!curve.low) return [line];
    const edge = { ...line, line: { width: 0 }, showlegend: false, hoverinfo: "skip", name: "" };
    return [
      { ...edge, y: curve.low },
      { ...edge, y: curve.high, fill: "tonexty", fillcolor: translucent(colour(curve.colour), 0.2) },
      line,
    ];
  }

  function eventTraces() {
    const kinds = [...new Set(REPORT.events.map((points) => points.kind))];
    return REPORT.events.map((points) => ({
      type: "scatter",
      mode: "markers",
      name: plain(points.label) + (REPORT.runs.length > 1 ? ` · ${plain(REPORT.runs[points.run].name)}` : ""),
      x: points.x,
      y: points.x.map(() => -kinds.indexOf(points.kind)),
      text: points.text.map(plain),
      hovertemplate: `%{x} s: ${plain(points.kind)}<br>%{text}<extra></extra>`,
      marker: { color: colour(points.colour), size: 10, symbol: MARKERS[points.run % MARKERS.length] },
    }));
  }

  /** Deadlines stand in the legend, so that they can be told apart and hidden. */
  function deadlineTraces(chart) {
    return chart.xLines.map(([x, index, label]) => ({
      type: "scatter",
      mode: "lines",
      name: plain(label),
      x: [x, x],
      y: [0, 1],
      line: { color: colour(index), width: 1.5, dash: "longdashdot" },
    }));
  }

  function shapesOf(chart) {
    const shapes = [];
    if (chart.kind === "time") {
      for (const mark of REPORT.marks) {
        for (const time of mark.times) {
          const line = { color: colour(mark.colour), width: 1, dash: "dot" };
          shapes.push({ type: "line", x0: time, x1: time, yref: "paper", y0: 0, y1: 1, line, opacity: 0.6 });
        }
      }
    }
    if (chart.level) {
      const line = { color: styleColour("text"), width: 1.5, dash: "dash" };
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: chart.level[0], y1: chart.level[0], line });
    }
    return shapes;
  }

  function annotationsOf(chart) {
    if (!chart.level) return [];
    const [value, label] = chart.level;
    const y = chart.log ? Math.log10(value) : value;
    const bgcolor = styleColour("back");
    const place = { xref: "paper", x: 1, xanchor: "right", y, yanchor: "middle" };
    return [{ ...place, text: plain(label), showarrow: false, bgcolor }];
  }

  function layoutOf(chart, numTrace) {
    const grid = { gridcolor: styleColour("line"), zerolinecolor: styleColour("line"), automargin: false };
    const isEvents = chart.kind === "events";
    const yTitle = chart.kind === "delay" ? "share of tasks" : chart.unit;
    const scale = chart.log ? { type: "log", dtick: 1, tickformat: "~g" } : { rangemode: "tozero" };
    const width = document.getElementById(`chart-${chart.key}`).clientWidth;
    const legendRows = Math.ceil(numTrace / Math.max(1, Math.floor(width / 190)));
    const below = 50 + 20 * legendRows;
    const height = (isEvents ? 80 + 14 * new Set(REPORT.events.map((one) => one.kind)).size : 230) + below;
    return {
      width,
      height,
      margin: { l: 60, r: 12, t: 30, b: below },
      paper_bgcolor: styleColour("back"),
      plot_bgcolor: styleColour("back"),
      font: { color: styleColour("text"), size: 12, family: getComputedStyle(document.body).fontFamily },
      hovermode: isEvents ? "closest" : "x unified",
      hoverlabel: { namelength: 40, bgcolor: styleColour("panel"), font: { color: styleColour("text") } },
      // A finger scrolls the page; on a touch screen the buttons of the chart zoom.
      dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
      legend: { orientation: "h", x: 0, xanchor: "left", y: -42 / (height - below - 30), yanchor: "top" },
      uirevision: "kept", // drawing again leaves the zoom as it is
      xaxis: {
        ...grid,
        title: { text: chart.xTitle, standoff: 4 },
        hoverformat: ".6~g",
        range: [0, chart.xEnd ?? REPORT.endS],
      },
      yaxis: isEvents
        ? { ...grid, showticklabels: false, fixedrange: true, zeroline: false }
        : { ...grid, title: { text: plain(yTitle), standoff: 2 }, hoverformat: ".5~g", ...scale },
      shapes: shapesOf(chart),
      annotations: annotationsOf(chart),
    };
  }

  /** Let all charts over time show what one of them shows. */
  function follow(source, change) {
    const begin = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
    const end = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1];
    const isReset = change["xaxis.autorange"];
    if (following || (begin === undefined && !isReset)) return;
    following = true;
    const range = isReset ? [0, REPORT.endS] : [begin, end];
    const others = timeCharts.filter((element) => element !== source || isReset);
    Promise.all(others.map((element) => Plotly.relayout(element, { "xaxis.range": range }))).finally(() => {
      following = false;
    });
  }

  async function draw(chart) {
    const element = document.getElementById(`chart-${chart.key}`);
    const traces = chart.kind === "events" ? eventTraces() : chart.curves.flatMap((curve) => tracesOf(curve, chart));
    traces.push(...deadlineTraces(chart));
    const numNamed = traces.filter((trace) => trace.showlegend !== false).length;
    for (const trace of traces) trace.showlegend ??= true; // plotly leaves out the legend of a single line
    const config = { displaylogo: false, showTips: false, modeBarButtons: BUTTONS };
    await Plotly.react(element, traces, layoutOf(chart, numNamed), config);
    if (chart.kind === "delay" || timeCharts.includes(element)) return;
    timeCharts.push(element);
    element.on("plotly_relayout", (change) => follow(element, change));
    element.on("plotly_click", (event) => window.dispatchEvent(new CustomEvent("seek", { detail: event.points[0].x })));
  }

  /** Draw one chart after the other, so that the page answers in between. */
  async function drawAll() {
    const round = ++rounds;
    for (const chart of REPORT.charts) {
      await draw(chart);
      if (round !== rounds) return; // somebody has begun anew
      await new Promise((resolve) => setTimeout(resolve));
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
  darkMode.addEventListener("change", drawAll);
  drawAll();
})();
