// The page: one time, that the slider, the sound and every strip share.

function makePage(shown) {
  const page = document.getElementById("page");
  const audio = html("audio", { src: shown.sound.wav, preload: "auto", id: "sound" });
  const play = html("button", { class: "play", type: "button", id: "play" }, "Play");
  const slider = html("input", { type: "range", min: "0", max: String(shown.duration_s), step: "0.01", value: "0", id: "time", "aria-label": "Time" });
  const clock = html("output", { id: "clock" });
  const muted = html("input", { type: "checkbox", id: "mute" });
  const picture = html("img", { class: "frame", alt: "Depth image", id: "frame" });
  const pictureAge = html("small", {});
  const state = html("div", { id: "state" });
  let time = 0, playing = false, begun = null;

  const strips = makeStrips(shown, seek), map = makeMap(shown);
  const gain = shown.sound.gain_db > 0 ? `, raised by ${shown.sound.gain_db} dB` : "";
  const sides = shown.sound.channels.length > 1 ? `channels ${shown.sound.channels.join(" and ")}` : `channel ${shown.sound.channels[0]}`;
  page.append(
    html("header", {}, html("h1", {}, shown.title), html("p", {}, summary(shown))),
    html("div", { class: "bar" }, play, slider, clock, html("label", { title: `${sides}${gain}` }, muted, "mute")),
    html("div", { class: "top" }, map.box,
      html("section", {}, html("h2", {}, "Depth camera", pictureAge), picture,
        html("div", { class: "scale" }, html("span", {}, "near"), html("span", {}, "grey: unknown"), html("span", {}, `${shown.max_range_m} m`))),
      html("section", {}, html("h2", {}, "Now"), state)),
    strips.box,
    html("div", { class: "bottom" }, html("div", { class: "stack" }, eventTable(shown, seek), ...otherTable(shown, seek)),
      html("div", { class: "stack" }, ...checkBox(shown), html("section", {}, html("h2", {}, "Episode"), list(shown.facts)))),
    audio,
  );

  function show() {
    slider.value = String(time);
    clock.textContent = `${(time + shown.from_s).toFixed(2)} / ${(shown.duration_s + shown.from_s).toFixed(2)} s`;
    const frame = lastAt(shown.frames, time);
    if (frame >= 0 && picture.dataset.index !== String(frame)) {
      picture.src = shown.frames[frame].src;
      picture.dataset.index = String(frame);
    }
    picture.hidden = frame < 0;
    pictureAge.textContent = frame >= 0 ? `${(Math.max(0, time - shown.frames[frame].t) * 1000).toFixed(0)} ms old` : "none yet";
    state.replaceChildren(stateOf(shown, time));
    strips.show(time);
    map.show(time);
  }

  function seek(to) {
    time = Math.min(shown.duration_s, Math.max(0, to));
    if (Number.isFinite(audio.duration)) audio.currentTime = Math.min(time, audio.duration);
    begun = performance.now() - time * 1000;
    show();
  }

  function tick() {
    if (!playing) return;
    // the sound is the clock; a browser that can't play it leaves the machine's own
    time = audio.paused ? (performance.now() - begun) / 1000 : audio.currentTime;
    if (time >= shown.duration_s || audio.ended) { time = shown.duration_s; stop(); }
    show();
    requestAnimationFrame(tick);
  }

  function stop() {
    playing = false;
    audio.pause();
    play.textContent = "Play";
  }

  function toggle() {
    if (playing) { stop(); return; }
    if (time >= shown.duration_s - 0.01) seek(0);
    playing = true;
    play.textContent = "Pause";
    begun = performance.now() - time * 1000;
    audio.play().catch(() => {});
    requestAnimationFrame(tick);
  }

  play.addEventListener("click", toggle);
  slider.addEventListener("input", () => seek(Number(slider.value)));
  muted.addEventListener("change", () => { audio.muted = muted.checked; });
  document.addEventListener("keydown", (event) => {
    if (event.target === slider || event.target.tagName === "BUTTON") return;
    if (event.key === " ") { event.preventDefault(); toggle(); }
    if (event.key === "ArrowRight") seek(time + shown.steps.period_s);
    if (event.key === "ArrowLeft") seek(time - shown.steps.period_s);
  });
  const paint = () => { strips.paint(); map.paint(); show(); };
  window.addEventListener("resize", paint);
  paint();
  const wanted = /^#t=([0-9.]+)$/.exec(window.location.hash);
  const begins = [shown.steps.rows, shown.frames].map((rows) => (rows.length ? rows[0].t : 0)); // something to look at
  seek(wanted ? Number(wanted[1]) - shown.from_s : Math.max(...begins));
}

function summary(shown) {
  const counts = new Map();
  for (const row of shown.steps.rows) counts.set(row.action, (counts.get(row.action) || 0) + 1);
  const actions = [...counts].map(([name, count]) => `${count} ${name}`).join(", ");
  const ended = shown.ended ? `; ended: ${shown.ended}` : "";
  return `${shown.duration_s.toFixed(1)} s, ${shown.steps.rows.length} steps: ${actions}${ended}`;
}

function stateOf(shown, time) {
  const step = shown.steps.rows[lastAt(shown.steps.rows, time)], status = shown.safety[lastAt(shown.safety, time)];
  const rows = [];
  if (step) {
    rows.push(["step", String(step.n)], ["action", step.action]);
    if (step.other) rows.push(["other policy", step.other, step.other === step.action ? "good" : "bad"]);
    rows.push(["asked for", `${number(step.v, 2, "m/s")}, ${number(degrees(step.w), 0, "\u00b0/s")}`]);
  }
  if (status) {
    const kind = safetyKind(status);
    rows.push(["let through", `${number(status.v, 2, "m/s")}, ${number(degrees(status.w), 0, "\u00b0/s")}`]);
    rows.push(["safety", status.reason, kind === "ok" ? "good" : kind === "off" ? "" : "bad"]);
  }
  if (step) {
    const spread = step.sigma >= Math.PI ? "anywhere" : `\u00b1 ${degrees(step.sigma).toFixed(0)}\u00b0`;
    rows.push(["bearing", `${number(degrees(step.bearing), 0, "\u00b0")} ${spread}`]);
    rows.push(["way to go", `${number(step.far, 1, "m")} (${step.near_m.toFixed(1)} to ${step.far_m.toFixed(1)})`]);
    if (step.margin !== null) rows.push(["margin of the action", step.margin.toPrecision(2)]);
    rows.push(["value", step.value.toFixed(2).replace("-", "\u2212")], ["age of the frame", number(step.age * 1000, 0, "ms")]);
    if (step.start) rows.push(["memory", "reset here"]);
  }
  return rows.length ? list(rows) : html("p", {}, "no step yet");
}

function timed(time, seek, shown) {
  const button = html("button", { type: "button" }, `${(time + shown.from_s).toFixed(2)} s`);
  button.addEventListener("click", () => seek(time));
  return html("td", { class: "time" }, button);
}

function eventTable(shown, seek) {
  const rows = shown.events.map((event) => html("tr", {}, timed(event.t, seek, shown),
    html("td", { class: event.level }, event.event.replaceAll("_", " ")), html("td", {}, event.text)));
  const stops = [];
  shown.safety.forEach((status, index) => {
    if (index && safetyKind(status) !== "ok" && status.reason !== shown.safety[index - 1].reason) {
      stops.push([status.t, html("tr", {}, timed(status.t, seek, shown), html("td", { class: "warning" }, "safety"),
        html("td", {}, `${status.reason}: ${number(status.v, 2, "m/s")}, ${number(degrees(status.w), 0, "\u00b0/s")}`))]);
    }
  });
  const all = [...shown.events.map((event, index) => [event.t, rows[index]]), ...stops.slice(0, 500)].sort((a, b) => a[0] - b[0]);
  const body = all.length ? html("table", { id: "events" }, ...all.map(([, row]) => row)) : html("p", {}, "Nothing happened.");
  return html("section", {}, html("h2", {}, "Safety and health events"), html("div", { class: "scroll" }, body));
}

function otherTable(shown, seek) {
  if (!shown.other) return [];
  const rows = shown.other.partings.map((parting) => html("tr", {}, timed(parting.t, seek, shown),
    html("td", {}, `${parting.count} step${parting.count > 1 ? "s" : ""} from ${parting.step}`), html("td", {}, `${parting.done} \u2192 ${parting.other}`)));
  const text = `Policy ${shown.other.policy} does the same in ${(100 * shown.other.agreement).toFixed(1)} % of the steps. ` +
    "It is told what really happened: behind the first parting the robot would have been elsewhere.";
  return [html("section", { id: "other" }, html("h2", {}, "What the other policy would have done"), html("p", {}, text),
    html("div", { class: "scroll" }, html("table", {}, ...rows)))];
}

function checkBox(shown) {
  if (!shown.check) return [];
  const stages = shown.check.stages.map((stage) => [stage.name, stage.text, stage.good ? "" : "bad"]);
  const verdict = html("p", { class: shown.check.ok ? "good" : "bad", id: "verdict" }, shown.check.text);
  return [html("section", {}, html("h2", {}, "Replay"), verdict, list(stages))];
}

makePage(JSON.parse(document.getElementById("shown").textContent));
