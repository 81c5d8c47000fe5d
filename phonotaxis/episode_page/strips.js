// The strips under each other, over one time axis.

const LEFT = 74, RIGHT = 10;

function makeStrips(shown, seek) {
  const box = html("section", { class: "strips", id: "strips" });
  const cursor = html("div", { class: "cursor", id: "cursor" });
  const strips = [
    ["What the left microphone heard", spectrogramStrip, 110],
    ["Where the policy believed the source to be", bearingStrip, 130,
      key(["accent", "bearing, left is positive"], ["soft", "\u00b1 one standard deviation"])],
    ["How far it believed the way to be", distanceStrip, 90, key(["accent", "median"], ["soft", "16th to 84th percentile"])],
    ["Actions", actionStrip, 0, shown.other ? key(["accent", "taken"], ["muted", "the other policy's, where it differs"]) : ""],
    ["Forward speed", (shown, draw) => speedStrip(shown, draw, "v", "m/s", 1), 80, key(["muted", "asked for"], ["accent", "let through"])],
    ["Turning speed, left is positive", (shown, draw) => speedStrip(shown, draw, "w", "\u00b0/s", 180 / Math.PI), 80,
      key(["muted", "asked for"], ["accent", "let through"])],
    ["Safety and health", safetyStrip, 46,
      key(["ok", "as asked"], ["held", "held back"], ["stop", "stopped"], ["off", "disarmed"])],
  ];
  const figures = strips.map(([title, , , legend], index) => {
    const figure = svg("svg", { role: "img", "aria-label": title, id: `strip-${index}` });
    box.append(html("div", { class: "strip" }, html("h2", {}, title, legend || ""), figure));
    return figure;
  });
  box.append(cursor);

  let width = 0;
  const x = (time) => LEFT + (width - LEFT - RIGHT) * time / shown.duration_s;
  function paint() {
    width = figures[0].clientWidth || 1000;
    strips.forEach(([, paintStrip, tall], index) => {
      const last = index === strips.length - 1;
      const height = tall || 22 * Math.max(1, shown.steps.names.length);
      figures[index].replaceChildren();
      figures[index].setAttribute("height", height + (last ? 20 : 2));
      figures[index].setAttribute("viewBox", `0 0 ${width} ${height + (last ? 20 : 2)}`);
      paintStrip(shown, { figure: figures[index], x, height, width, add: (tag, attributes, ...rest) => {
        const made = svg(tag, attributes, ...rest);
        figures[index].append(made);
        return made;
      } });
      if (last) timeAxis(shown, figures[index], x, height);
    });
  }
  function timeOf(event) {
    const at = event.clientX - figures[0].getBoundingClientRect().left;
    return (at - LEFT) / (width - LEFT - RIGHT) * shown.duration_s;
  }
  for (const figure of figures) {
    figure.addEventListener("pointerdown", (event) => { seek(timeOf(event)); figure.setPointerCapture(event.pointerId); });
    figure.addEventListener("pointermove", (event) => { if (event.buttons & 1) seek(timeOf(event)); });
  }
  function show(time) {
    cursor.style.left = `${figures[0].getBoundingClientRect().left - box.getBoundingClientRect().left + x(time)}px`;
  }
  return { box, paint, show };
}

function label(draw, y, text) {
  draw.add("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, text);
}

function ruled(draw, shown, y, text) {
  draw.add("line", { class: "rule", x1: draw.x(0), x2: draw.x(shown.duration_s), y1: y, y2: y });
  label(draw, y, text);
}

function timeAxis(shown, figure, x, height) {
  const step = axisStep(shown.duration_s, 12);
  for (let time = 0; time <= shown.duration_s + 1e-9; time += step) {
    const text = `${+(time + shown.from_s).toFixed(2)}`;
    figure.append(svg("line", { class: "rule", x1: x(time), x2: x(time), y1: height - 1, y2: height + 4 }));
    figure.append(svg("text", { x: x(time), y: height + 16, "text-anchor": "middle" }, time === 0 ? `${text} s` : text));
  }
}

function spectrogramStrip(shown, draw) {
  draw.add("image", { href: shown.sound.spectrogram, x: draw.x(0), y: 0, width: draw.x(shown.duration_s) - draw.x(0),
    height: draw.height, preserveAspectRatio: "none" });
  label(draw, 6, `${shown.sound.top_khz} kHz`);
  label(draw, draw.height - 4, "0");
}

// A step's belief holds from its own time until the next one's.
function spans(shown) {
  const rows = shown.steps.rows;
  return rows.map((row, index) => [row, index + 1 < rows.length ? Math.min(rows[index + 1].t, row.t + 2 * shown.steps.period_s)
    : Math.min(shown.duration_s, row.t + shown.steps.period_s)]);
}

function bearingStrip(shown, draw) {
  const y = (angle) => draw.height * (0.5 - angle / 360);
  const band = (from, to, x, width) => {
    if (to > from) draw.add("rect", { class: "band", x, width, y: y(to), height: y(from) - y(to) });
  };
  for (const [row, end] of spans(shown)) {
    const x = draw.x(row.t), width = Math.max(0.5, draw.x(end) - x);
    const middle = degrees(row.bearing), spread = Math.min(180, degrees(row.sigma));
    for (const turn of [-360, 0, 360]) {
      band(Math.max(-180, middle - spread + turn), Math.min(180, middle + spread + turn), x, width);
    }
  }
  for (const angle of [-180, -90, 0, 90, 180]) ruled(draw, shown, y(angle), `${angle}\u00b0`.replace("-", "\u2212"));
  for (const [row, end] of spans(shown)) {
    const x = draw.x(row.t);
    draw.add("rect", { class: "mark", x, width: Math.max(1, draw.x(end) - x), y: y(degrees(row.bearing)) - 1, height: 2.2 });
  }
}

function distanceStrip(shown, draw) {
  const rows = shown.steps.rows;
  const sorted = rows.map((row) => row.far_m).sort((a, b) => a - b);
  const medians = rows.reduce((most, row) => Math.max(most, row.far), 0);
  const top = Math.max(1, Math.min(3 * medians, 1.1 * (sorted[Math.floor(0.95 * (sorted.length - 1))] || 1)));
  const y = (metres) => draw.height * (1 - Math.min(1, metres / top));
  for (const [row, end] of spans(shown)) {
    const x = draw.x(row.t), width = Math.max(0.5, draw.x(end) - x);
    draw.add("rect", { class: "band", x, width, y: y(row.far_m), height: Math.max(0, y(row.near_m) - y(row.far_m)) });
  }
  const step = axisStep(top, 3);
  for (let metres = 0; metres <= top; metres += step) ruled(draw, shown, y(metres), `${+metres.toFixed(2)} m`);
  for (const [row, end] of spans(shown)) {
    const x = draw.x(row.t);
    draw.add("rect", { class: "mark", x, width: Math.max(1, draw.x(end) - x), y: y(row.far) - 1, height: 2.2 });
  }
}

function actionStrip(shown, draw) {
  const names = shown.steps.names, high = draw.height / Math.max(1, names.length);
  names.forEach((name, index) => ruled(draw, shown, (index + 0.5) * high, name.length > 11 ? `${name.slice(0, 10)}\u2026` : name));
  for (const [row, end] of spans(shown)) {
    const x = draw.x(row.t), width = Math.max(1, draw.x(end) - x - 0.6);
    const taken = names.indexOf(row.action), other = names.indexOf(row.other);
    if (taken >= 0) draw.add("rect", { class: "mark", x, width, y: taken * high + 4, height: high - 8, rx: 1 });
    if (other >= 0 && other !== taken) draw.add("rect", { class: "dim", x, width, y: other * high + 7, height: high - 14, rx: 1 });
  }
}

function speedStrip(shown, draw, field, unit, scale) {
  const values = [...shown.steps.rows, ...shown.safety].map((item) => Math.abs(item[field] * scale));
  const top = Math.max(field === "w" ? 10 : 0.1, 1.15 * values.reduce((a, b) => Math.max(a, b), 0)), signed = field === "w" || shown.steps.rows.some((row) => row[field] < 0);
  const y = (value) => signed ? draw.height * (0.5 - value / top / 2) : draw.height * (1 - value / top);
  const step = axisStep(top, signed ? 3 : 2);
  for (let value = signed ? -Math.floor(top / step) * step : 0; value <= top; value += step) {
    ruled(draw, shown, y(value), `${+value.toFixed(3)} ${unit}`.replace("-", "\u2212"));
  }
  const course = (items, ends) => items.map((item, index) => {
    const level = y(item[field] * scale).toFixed(1);
    return `${index && draw.x(item.t) <= ends(index - 1) + 1 ? "L" : "M"}${draw.x(item.t).toFixed(1)} ${level}L${ends(index).toFixed(1)} ${level}`;
  }).join("");
  const held = spans(shown);
  draw.add("path", { class: "thin", d: course(shown.steps.rows, (index) => draw.x(held[index][1])) });
  const until = (index) => draw.x(index + 1 < shown.safety.length ? shown.safety[index + 1].t : shown.duration_s);
  draw.add("path", { class: "line", d: course(shown.safety, until) });
}

function safetyKind(status) {
  if (!status.armed) return "off";
  if (status.reason === "ok" || status.reason === "simulated") return "ok";
  return status.v === 0 && status.w === 0 ? "stop" : "held";
}

function safetyStrip(shown, draw) {
  label(draw, 11, "safety");
  label(draw, 34, "health");
  shown.safety.forEach((status, index) => {
    const end = index + 1 < shown.safety.length ? shown.safety[index + 1].t : shown.duration_s;
    const x = draw.x(Math.max(0, status.t));
    const made = draw.add("rect", { class: safetyKind(status), x, width: Math.max(0.5, draw.x(end) - x), y: 2, height: 18 });
    made.append(svg("title", {}, status.reason));
  });
  draw.add("line", { class: "rule", x1: draw.x(0), x2: draw.x(shown.duration_s), y1: 34, y2: 34 });
  for (const event of shown.events) {
    const x = draw.x(Math.min(shown.duration_s, Math.max(0, event.t)));
    const made = draw.add("line", { class: `tick-${event.level}`, x1: x, x2: x, y1: 26, y2: 42 });
    made.append(svg("title", {}, `${event.event}: ${event.text}`));
  }
}
