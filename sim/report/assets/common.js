"use strict";

// Okabe and Ito's colours, which most colour-blind people tell apart; on a dark ground their lighter ones first.
const PALETTES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#b4528c", "#c98500", "#3d9bd1", "#7a6a00", "#5a5a5a"],
  dark: ["#56b4e9", "#e69f00", "#2fc79b", "#e39ac6", "#f0e442", "#8fa8ff", "#ff8c5a", "#b8b8b8"],
};
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const MARKERS = ["circle", "diamond", "square", "triangle-up", "x"];

const REPORT = JSON.parse(document.getElementById("data").textContent);

/** Whether the page is shown on a dark ground. */
const darkMode = window.matchMedia("(prefers-color-scheme: dark)");

/** Colour number `index`; anything below 0 is grey. */
function colour(index) {
  const palette = darkMode.matches ? PALETTES.dark : PALETTES.light;
  return palette[index < 0 ? palette.length - 1 : index % palette.length];
}

/** Value of a colour of the style sheet. */
function styleColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Text for plotly, which would take < and & for markup. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
