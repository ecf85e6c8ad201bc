// Draws the sweep and its boxes into two canvases, from above and in 3D; sorts and filters the rows.
// Axes: x forward, y left, z up. Clouds of the rows are drawn by gallery.js.
"use strict";
(() => {
  const { sweep, boxes } = window.blendclipScene;
  const rows = [...document.querySelectorAll(".naming-row")];
  const form = document.querySelector(".naming-choice"), count = document.querySelector(".naming-count");
  const PLAIN = "#7fd6ff", MARKED = "#ffd54a", RAMP = ["#35506e", "#3f6d8c", "#5a8f9e", "#89ada2", "#b9c4a0", "#e6d9a8"];
  const CLICK_PX = 5;
  let marked = -1, shown = new Set(boxes.keys());

  const bytes = Uint8Array.from(atob(sweep.points), (letter) => letter.charCodeAt(0));
  const steps = new Int16Array(bytes.buffer), points = new Float32Array(steps.length);
  for (let i = 0; i < steps.length; i++) points[i] = sweep.centre[i % 3] + (sweep.scale * steps[i]) / 32767;
  const reach = Math.min(60, Math.max(10, ...boxes.map(({ corners }) => Math.max(...corners.map(([x, y]) => Math.hypot(x, y))))));

  // Orthographic: turned about z by yaw, then tilted; x is up on the screen where it looks from above.
  function projector(view) {
    const { yaw, pitch, zoom, at } = view, { width, height } = view.canvas;
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const scale = (zoom * Math.min(width, height)) / (2 * reach);
    return (x, y, z) => {
      const [ahead, left] = [cy * x + sy * y - at[0], cy * y - sy * x - at[1]];
      return [width / 2 - scale * left, height / 2 - scale * (sp * ahead + cp * z)];
    };
  }

  function draw(view) {
    const { canvas } = view, ratio = Math.min(devicePixelRatio, 2);
    [canvas.width, canvas.height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    const context = canvas.getContext("2d"), place = projector(view), dot = Math.max(1, 1.2 * ratio);
    context.fillStyle = "#10151b";
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (const [band, colour] of RAMP.entries()) {
      context.fillStyle = colour;
      for (let i = 0; i < points.length; i += 3) {
        if (Math.min(Math.max(Math.floor(points[i + 2] + 2.5), 0), RAMP.length - 1) !== band) continue;
        const [x, y] = place(points[i], points[i + 1], points[i + 2]);
        context.fillRect(x, y, dot, dot);
      }
    }
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    view.labels = [];
    view.middles = boxes.map((box, number) => (shown.has(number) ? outlined(context, view, place, box, number, ratio) : null));
  }

  function outlined(context, view, place, { corners, edges, name }, number, ratio) {
    const ends = corners.map((corner) => place(...corner));
    context.strokeStyle = context.fillStyle = number === marked ? MARKED : PLAIN;
    context.lineWidth = (number === marked ? 3 : 1.4) * ratio;
    context.beginPath();
    for (const [a, b] of edges) {
      context.moveTo(...ends[a]);
      context.lineTo(...ends[b]);
    }
    context.stroke();
    const top = Math.min(...ends.map(([, y]) => y));
    const middle = [0, 1].map((axis) => ends.reduce((sum, end) => sum + end[axis], 0) / ends.length);
    const isFree = view.labels.every(([x, y]) => Math.abs(x - middle[0]) > 70 * ratio || Math.abs(y - top) > 13 * ratio);
    if (isFree || number === marked) {
      context.fillText(name, middle[0], top - 4 * ratio);
      view.labels.push([middle[0], top]);
    }
    return middle;
  }

  const views = [...document.querySelectorAll(".naming-view")].map((canvas) => {
    const view = { canvas, yaw: 0, pitch: Number(canvas.dataset.pitch), zoom: 1, at: [0, 0], middles: [] };
    view.start = { yaw: 0, pitch: view.pitch, zoom: 1, at: [0, 0] };
    listen(view);
    return view;
  });
  let waiting = false;
  function redraw() {
    if (!waiting) requestAnimationFrame(() => { waiting = false; views.forEach(draw); });
    waiting = true;
  }

  function listen(view) {
    const { canvas } = view;
    let last = null, moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      [last, moved] = [event, 0];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
      moved += Math.hypot(dx, dy);
      const metres = (2 * reach) / view.zoom / Math.min(canvas.clientWidth, canvas.clientHeight);
      if (event.shiftKey) view.at = [view.at[0] + dy * metres, view.at[1] + dx * metres];
      else Object.assign(view, { yaw: view.yaw + 0.008 * dx, pitch: Math.min(Math.max(view.pitch + 0.008 * dy, 0.05), Math.PI / 2) });
      last = event;
      redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (last && moved < CLICK_PX) mark(nearest(view, event), true);
      last = null;
    });
    canvas.addEventListener("pointercancel", () => { last = null; });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      view.zoom = Math.min(Math.max(view.zoom * Math.exp(-0.002 * event.deltaY), 0.4), 30);
      redraw();
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { Object.assign(view, view.start); redraw(); });
    canvas.addEventListener("keydown", (event) => {
      const step = {
        ArrowLeft: { yaw: view.yaw - 0.15 }, ArrowRight: { yaw: view.yaw + 0.15 },
        "+": { zoom: view.zoom * 1.2 }, "-": { zoom: view.zoom / 1.2 }, 0: view.start,
      }[event.key];
      if (!step) return;
      event.preventDefault();
      Object.assign(view, step);
      redraw();
    });
  }

  function nearest(view, event) {
    const box = view.canvas.getBoundingClientRect(), ratio = view.canvas.width / box.width;
    const [x, y] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    const away = view.middles.map((middle) => (middle ? Math.hypot(middle[0] - x, middle[1] - y) : Infinity));
    const best = away.indexOf(Math.min(...away));
    return away[best] < 60 * ratio ? best : -1;
  }

  function mark(number, scroll) {
    marked = number;
    for (const row of rows) {
      const isMarked = Number(row.dataset.box) === number;
      row.classList.toggle("is-marked", isMarked);
      if (isMarked && scroll) row.scrollIntoView({ block: "nearest" });
    }
    redraw();
  }

  function choose() {
    const chosen = new FormData(form), name = chosen.get("name"), least = Number(chosen.get("score"));
    const kept = rows.filter(({ dataset }) => (!name || dataset.name === name) && Number(dataset.score) >= least);
    shown = new Set(kept.map(({ dataset }) => Number(dataset.box)));
    for (const row of rows) row.hidden = !shown.has(Number(row.dataset.box));
    const down = chosen.get("order").startsWith("-"), key = chosen.get("order").replace("-", "");
    const value = ({ dataset }) => (key === "name" ? dataset.name : Number(dataset[key]));
    const order = [...rows].sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (down ? -1 : 1));
    for (const row of order) row.parentElement.append(row);
    count.textContent = `${kept.length} of ${rows.length} boxes`;
    redraw();
  }

  for (const row of rows) {
    row.addEventListener("click", () => mark(Number(row.dataset.box), false));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") mark(Number(row.dataset.box), false); });
  }
  form.addEventListener("input", choose);
  addEventListener("resize", redraw);
  choose();
})();
