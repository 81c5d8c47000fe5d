// The map: the way, what stood around it, the robot now, and where it believes the source to be.

const RECENT = 12;  // steps whose beliefs stay on the map
const REACH_M = [1.2, 3.0];  // of the wedge that shows the bearing's uncertainty: as far as the way, within these
const AROUND_M = 4.0;  // a belief this near to the robot belongs on the map

function makeMap(shown) {
  const figure = svg("svg", { role: "img", "aria-label": "Map", id: "map" });
  const note = `x forward of the start, from ${shown.map.source}`;
  const box = html("section", { class: "map" }, html("h2", {}, "Map", html("small", {}, note)), figure);
  const poses = shown.map.poses.map(([t, x, y, yaw]) => ({ t, x, y, yaw }));
  let place = null, moving = null;

  function frame() {
    const xs = poses.map((pose) => pose.x), ys = poses.map((pose) => pose.y);
    for (const row of shown.steps.rows) {
      if (row.far > AROUND_M) continue;
      const spot = believed(row);
      xs.push(spot.x);
      ys.push(spot.y);
    }
    const near = shown.map.cells.map(([column, row]) => [column * shown.map.cell_m, row * shown.map.cell_m]);
    const all = { left: Math.min(...xs) - 1.5, right: Math.max(...xs) + 1.5, low: Math.min(...ys) - 1.5, high: Math.max(...ys) + 1.5 };
    // what stands within a few metres of the way belongs on the map, far things don't shrink it
    for (const [x, y] of near) {
      if (x < all.left - 2.5 || x > all.right + 2.5 || y < all.low - 2.5 || y > all.high + 2.5) continue;
      all.nearLeft = Math.min(all.nearLeft ?? x, x); all.nearRight = Math.max(all.nearRight ?? x, x + shown.map.cell_m);
      all.nearLow = Math.min(all.nearLow ?? y, y); all.nearHigh = Math.max(all.nearHigh ?? y, y + shown.map.cell_m);
    }
    return {
      left: Math.min(all.left, (all.nearLeft ?? all.left) - 0.2), right: Math.max(all.right, (all.nearRight ?? all.right) + 0.2),
      low: Math.min(all.low, (all.nearLow ?? all.low) - 0.2), high: Math.max(all.high, (all.nearHigh ?? all.high) + 0.2),
    };
  }

  function paint() {
    const width = figure.clientWidth || 500, height = 380, view = frame();
    const scale = Math.min(width / (view.right - view.left), height / (view.high - view.low));
    const centre = [(view.left + view.right) / 2, (view.low + view.high) / 2];
    const x = (metres) => width / 2 + (metres - centre[0]) * scale, y = (metres) => height / 2 - (metres - centre[1]) * scale;
    place = { x, y, scale };
    figure.replaceChildren();
    figure.setAttribute("height", height);
    figure.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const cell = shown.map.cell_m * scale;
    const walls = shown.map.cells.map(([column, row]) =>
      `M${x(column * shown.map.cell_m).toFixed(1)} ${y((row + 1) * shown.map.cell_m).toFixed(1)}h${cell.toFixed(2)}v${cell.toFixed(2)}h${(-cell).toFixed(2)}z`);
    figure.append(svg("path", { class: "cell", d: walls.join(""), id: "obstacles" }));
    const way = poses.map((pose, index) => `${index ? "L" : "M"}${x(pose.x).toFixed(1)} ${y(pose.y).toFixed(1)}`).join("");
    figure.append(svg("path", { class: "line", d: way, id: "way" }));
    figure.append(svg("circle", { class: "start", cx: x(poses[0].x), cy: y(poses[0].y), r: 4.5 }));
    const metre = axisStep((view.right - view.left), 6);
    figure.append(svg("path", { class: "ink", d: `M12 ${height - 14}h${(metre * scale).toFixed(1)}` }));
    figure.append(svg("text", { x: 12, y: height - 20 }, `${metre} m`));
    moving = svg("g", { id: "now" });
    figure.append(moving);
  }

  function poseAt(time) {
    const index = lastAt(poses, time);
    if (index < 0) return poses[0];
    if (index + 1 >= poses.length) return poses[index];
    const a = poses[index], b = poses[index + 1], share = Math.min(1, Math.max(0, (time - a.t) / Math.max(1e-9, b.t - a.t)));
    return { x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y), yaw: a.yaw + share * (b.yaw - a.yaw) };
  }

  function believed(row) {
    const from = poseAt(row.t), angle = from.yaw + row.bearing;
    return { x: from.x + row.far * Math.cos(angle), y: from.y + row.far * Math.sin(angle) };
  }

  function show(time) {
    if (!moving) return;
    moving.replaceChildren();
    const now = poseAt(time), { x, y, scale } = place;
    const step = lastAt(shown.steps.rows, time);
    if (step >= 0) {
      const row = shown.steps.rows[step], from = poseAt(row.t), reach = Math.min(REACH_M[1], Math.max(REACH_M[0], row.far)) * scale;
      const spread = Math.min(row.sigma, Math.PI * 0.999), middle = from.yaw + row.bearing;
      const corner = (angle) => `${(x(from.x) + reach * Math.cos(angle)).toFixed(1)} ${(y(from.y) - reach * Math.sin(angle)).toFixed(1)}`;
      moving.append(svg("path", { class: "wedge", id: "wedge", d: `M${x(from.x).toFixed(1)} ${y(from.y).toFixed(1)}L${corner(middle + spread)}A${reach.toFixed(1)} ${reach.toFixed(1)} 0 ${spread > Math.PI / 2 ? 1 : 0} 1 ${corner(middle - spread)}z` }));
      for (let index = Math.max(0, step - RECENT); index < step; index++) {
        const spot = believed(shown.steps.rows[index]);
        moving.append(svg("circle", { class: "old", cx: x(spot.x), cy: y(spot.y), r: 4 }));
      }
      const spot = believed(row);
      moving.append(svg("circle", { class: "belief", id: "belief", cx: x(spot.x), cy: y(spot.y), r: 6 }));
    }
    const body = Math.max(6, shown.map.radius_m * scale), tip = body * 1.0;
    moving.append(svg("circle", { class: "body", id: "robot", cx: x(now.x), cy: y(now.y), r: body }));
    moving.append(svg("path", { class: "ink", d: `M${x(now.x)} ${y(now.y)}L${x(now.x) + tip * Math.cos(now.yaw)} ${y(now.y) - tip * Math.sin(now.yaw)}` }));
  }
  return { box, paint, show };
}
