"use strict";
// Elements are made by these alone: a string becomes text or an attribute's value, never markup.

const SVG = "http://www.w3.org/2000/svg";

function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Index of the last item whose time isn't later; -1 before the first.
function lastAt(items, time) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].t <= time + 1e-6) low = middle + 1; else high = middle;
  }
  return low - 1;
}

const degrees = (radians) => radians * 180 / Math.PI;

function number(value, digits, unit) {
  const space = unit === "\u00b0" ? "" : "\u00a0";
  return `${value.toFixed(digits).replace("-", "\u2212")}${space}${unit}`;
}

// Round steps of an axis: about `count` of them over a length.
function axisStep(length, count) {
  const raw = length / count, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
}

function list(pairs) {
  const items = [];
  for (const [name, value, kind] of pairs) {
    items.push(html("dt", {}, name), html("dd", kind ? { class: kind } : {}, value));
  }
  return html("dl", {}, ...items);
}

function key(...entries) {
  return html("span", { class: "key" }, ...entries.map(([kind, text]) => html("span", {}, html("i", { class: kind }), text)));
}
