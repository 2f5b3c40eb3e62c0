"use strict";

const REPORT = JSON.parse(document.getElementById("data").textContent);
const NUM_COLOUR = 8;
const MARKERS = ["circle", "diamond", "square", "triangle"];

/** Whether the page is shown on a dark ground. */
const darkMode = window.matchMedia("(prefers-color-scheme: dark)");

/** Name of a style sheet's colour: number `index`; anything below 0 is grey. */
function colourName(index) {
  return index < 0 ? "grey" : `c${index % NUM_COLOUR}`;
}

/** Value of a colour of the style sheet, for a canvas. */
function styleColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Colour number `index` as a value. */
function colour(index) {
  return styleColour(colourName(index));
}

/** Colour number `index` for SVG: it follows the style sheet, in the dark and on paper. */
function paint(index) {
  return `var(--${colourName(index)})`;
}

/** An SVG element with attributes and children; texts are texts, whatever is in them. */
function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** An HTML element with a class and children. */
function html(tag, name = "", ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** A number to read: some digits, a true minus, no exponent unless it is tiny. */
function spell(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "none";
  const plain = Math.abs(value) >= 1e5 ? value.toFixed(0) : String(Number(value.toPrecision(digits)));
  return plain.replace("-", "\u2212");
}

/** Place of the last of ascending numbers that is at most `value`; -1 if there is none. */
function placeOf(numbers, value) {
  let low = -1;
  let high = numbers.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (numbers[middle] <= value) low = middle;
    else high = middle;
  }
  return low;
}

function tell(name, detail) {
  window.dispatchEvent(new CustomEvent(name, { detail }));
}
