// Turns the clouds of a gallery. One WebGL context draws all that are in view, each into the canvas of its card;
// without WebGL the same view is drawn point by point. Axes: x forward, y left, z up; the eye looks along y, from above.
"use strict";
(() => {
  const home = document.currentScript.src.replace(/[^/]*$/, "");
  const START = { yaw: -0.7, pitch: 0.35, zoom: 1 };
  const TURN_PER_S = 0.4, FRAME_MS = 33, PERSPECTIVE = 0.2, RING = 96;
  const RAMP = [[0.29, 0.5, 1], [0.16, 0.8, 0.78], [1, 0.86, 0.35], [1, 0.4, 0.27]]; // low to high
  const RING_COLOUR = [0.3, 0.36, 0.43];
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const gallery = document.querySelector(".gallery");
  const views = new Map(); // by canvas
  let paused = still.matches, painter = null, waiting = false, last = 0;

  // Clouds come in scripts, each loaded when one of its cards comes into view.
  const scripts = new Map();
  function loaded(name) {
    if (!scripts.has(name)) {
      scripts.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.onload = () => resolve(window.blendclipClouds[name]);
        script.onerror = () => reject(new Error(`gallery/clouds/${name}.js is missing`));
        script.src = `${home}clouds/${name}.js`;
        document.head.append(script);
      }));
    }
    return scripts.get(name);
  }

  function unpacked(packed) {
    const bytes = Uint8Array.from(atob(packed.points), (letter) => letter.charCodeAt(0));
    const xyz = new Int16Array(bytes.buffer);
    let radius = 1e-3, top = 0;
    for (let i = 0; i < xyz.length; i += 3) {
      radius = Math.max(radius, Math.hypot(xyz[i], xyz[i + 1]) / 32767);
      top = Math.max(top, Math.abs(xyz[i + 2]) / 32767);
    }
    const ring = new Int16Array(3 * RING);
    for (let i = 0; i < RING; i++) {
      const angle = (2 * Math.PI * i) / RING, reach = 32767 * Math.min(radius, 1);
      ring.set([reach * Math.cos(angle), reach * Math.sin(angle), -32767 * top], 3 * i);
    }
    return { xyz, ring, radius, top, count: xyz.length / 3 };
  }

  // What both painters share: turn about z, tilt, fit into the canvas.
  function pose(view) {
    const { width, height } = view.canvas, { radius, top, count } = view.cloud;
    const [cy, sy] = [Math.cos(view.yaw), Math.sin(view.yaw)], [cp, sp] = [Math.cos(view.pitch), Math.sin(view.pitch)];
    const tall = top * Math.abs(cp) + radius * Math.abs(sp), side = Math.min(width, height);
    const fit = (0.96 * view.zoom * side) / Math.max(radius, tall) / (1 + PERSPECTIVE);
    const depth = PERSPECTIVE / Math.hypot(radius, top);
    const dot = Math.min(Math.max((0.55 * side) / Math.sqrt(count + 1), 0.009 * side), 0.035 * side);
    return { cy, sy, cp, sp, fitX: fit / width, fitY: fit / height, depth, top, dot: dot * Math.sqrt(view.zoom) };
  }

  function glPainter() {
    const screen = document.createElement("canvas");
    const gl = screen.getContext("webgl", { antialias: true, alpha: false });
    if (!gl) return null;
    const program = gl.createProgram();
    const compile = (kind, source) => {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    };
    compile(gl.VERTEX_SHADER, `
      attribute vec3 xyz; uniform vec4 turn, fit; uniform vec2 high; uniform vec3 ramp[4]; uniform vec4 ink;
      varying vec4 colour;
      void main() {
        vec2 flat_ = vec2(turn.x * xyz.x - turn.y * xyz.y, turn.y * xyz.x + turn.x * xyz.y);
        float away = turn.z * flat_.y - turn.w * xyz.z, up = turn.w * flat_.y + turn.z * xyz.z;
        float w = 1.0 + fit.z * away;
        gl_Position = vec4(fit.x * flat_.x, fit.y * up, fit.z * away * w, w);
        gl_PointSize = fit.w / w;
        float t = 3.0 * clamp((xyz.z / high.x + 1.0) / 2.0, 0.0, 1.0);
        vec3 of_height = t < 1.0 ? mix(ramp[0], ramp[1], t) : t < 2.0 ? mix(ramp[1], ramp[2], t - 1.0) : mix(ramp[2], ramp[3], t - 2.0);
        colour = ink.a > 0.0 ? ink : vec4(of_height * clamp(1.0 - 1.5 * fit.z * away, 0.45, 1.15), 0.0);
      }`);
    compile(gl.FRAGMENT_SHADER, `
      precision mediump float; varying vec4 colour;
      void main() {
        if (colour.a == 0.0 && length(gl_PointCoord - 0.5) > 0.5) discard;
        gl_FragColor = vec4(colour.rgb, 1.0);
      }`);
    gl.bindAttribLocation(program, 0, "xyz");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
    gl.useProgram(program);
    gl.enableVertexAttribArray(0);
    gl.enable(gl.DEPTH_TEST);
    const at = (name) => gl.getUniformLocation(program, name);
    const [turn, fit, high, ink] = ["turn", "fit", "high", "ink"].map(at);
    gl.uniform3fv(at("ramp"), RAMP.flat());
    gl.clearColor(0x10 / 255, 0x15 / 255, 0x1b / 255, 1);
    const buffers = new WeakMap();
    const bind = (numbers) => {
      const isNew = !buffers.has(numbers);
      if (isNew) buffers.set(numbers, gl.createBuffer());
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.get(numbers));
      if (isNew) gl.bufferData(gl.ARRAY_BUFFER, numbers, gl.STATIC_DRAW);
      gl.vertexAttribPointer(0, 3, gl.SHORT, true, 0, 0);
    };
    screen.addEventListener("webglcontextlost", () => { painter = flatPainter(); redraw(); });
    return (view) => {
      const { width, height } = view.canvas, p = pose(view);
      if (screen.width < width || screen.height < height) {
        [screen.width, screen.height] = [Math.max(screen.width, width), Math.max(screen.height, height)];
      }
      gl.viewport(0, screen.height - height, width, height);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.uniform4f(turn, p.cy, p.sy, p.cp, p.sp);
      gl.uniform4f(fit, p.fitX, p.fitY, p.depth, p.dot);
      gl.uniform2f(high, p.top || 1, 0);
      gl.uniform4f(ink, ...RING_COLOUR, 1);
      bind(view.cloud.ring);
      gl.drawArrays(gl.LINE_LOOP, 0, RING);
      gl.uniform4f(ink, 0, 0, 0, 0);
      bind(view.cloud.xyz);
      gl.drawArrays(gl.POINTS, 0, view.cloud.count);
      view.canvas.getContext("2d").drawImage(screen, 0, 0, width, height, 0, 0, width, height);
    };
  }

  function flatPainter() {
    const shade = (t, light) => {
      const low = Math.min(Math.floor(3 * t), 2), mix = 3 * t - low;
      return `rgb(${RAMP[low].map((c, i) => Math.round(255 * light * (c + (RAMP[low + 1][i] - c) * mix))).join()})`;
    };
    const placed = (numbers, { width, height }, p) => {
      const dots = [];
      for (let i = 0; i < numbers.length; i += 3) {
        const [x, y, z] = [numbers[i] / 32767, numbers[i + 1] / 32767, numbers[i + 2] / 32767];
        const across = p.cy * x - p.sy * y, along = p.sy * x + p.cy * y;
        const away = p.depth * (p.cp * along - p.sp * z), up = p.sp * along + p.cp * z, w = 1 + away;
        dots.push([(width / 2) * (1 + (p.fitX * across) / w), (height / 2) * (1 - (p.fitY * up) / w), away, z]);
      }
      return dots;
    };
    return (view) => {
      const context = view.canvas.getContext("2d"), p = pose(view);
      context.fillStyle = "#10151b";
      context.fillRect(0, 0, view.canvas.width, view.canvas.height);
      context.strokeStyle = `rgb(${RING_COLOUR.map((c) => 255 * c).join()})`;
      context.beginPath();
      for (const [x, y] of placed(view.cloud.ring, view.canvas, p)) context.lineTo(x, y);
      context.closePath();
      context.stroke();
      for (const [x, y, away, z] of placed(view.cloud.xyz, view.canvas, p).sort((a, b) => b[2] - a[2])) {
        const t = Math.min(Math.max((z / (p.top || 1) + 1) / 2, 0), 1), side = (0.9 * p.dot) / (1 + away);
        context.fillStyle = shade(Math.round(24 * t) / 24, Math.min(Math.max(1 - 1.5 * away, 0.45), 1));
        context.fillRect(x - side / 2, y - side / 2, side, side);
      }
    };
  }

  // Only clouds in view are drawn, and only while something changes.
  function draw(now) {
    waiting = false;
    const due = now - last >= FRAME_MS, seconds = Math.min(now - last, 100) / 1000;
    let turning = false;
    for (const view of due ? views.values() : []) {
      if (!view.inView || !view.cloud) continue;
      const turns = !paused && !view.held;
      turning ||= turns;
      if (turns) view.yaw += TURN_PER_S * seconds;
      if (!turns && !view.stale) continue;
      const scale = Math.min(devicePixelRatio, 2), { canvas } = view;
      const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      if (width && height) painter(view);
      view.stale = false;
    }
    if (due) last = now;
    if (turning || !due) redraw(false);
  }
  function redraw(all = true) {
    if (all) for (const view of views.values()) view.stale = true;
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }
  function change(view, changes) {
    Object.assign(view, { held: true, stale: true }, changes);
    view.pitch = Math.min(Math.max(view.pitch, -1.5), 1.5);
    view.zoom = Math.min(Math.max(view.zoom, 0.5), 8);
    redraw(false);
  }

  function listen(canvas, view) {
    const fingers = new Map();
    const on = (name, act) => canvas.addEventListener(name, act, { passive: false });
    const gap = () => { const [a, b] = fingers.values(); return Math.hypot(a.x - b.x, a.y - b.y) || 1; };
    on("pointerdown", (event) => {
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      canvas.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => {
      const finger = fingers.get(event.pointerId);
      if (!finger) return;
      const [dx, dy] = [event.clientX - finger.x, event.clientY - finger.y], before = fingers.size === 2 ? gap() : 0;
      Object.assign(finger, { x: event.clientX, y: event.clientY });
      if (before) change(view, { zoom: (view.zoom * gap()) / before });
      else if (fingers.size === 1) change(view, { yaw: view.yaw + 0.01 * dx, pitch: view.pitch + 0.01 * dy });
    });
    for (const name of ["pointerup", "pointercancel"]) on(name, (event) => fingers.delete(event.pointerId));
    on("wheel", (event) => {
      if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      change(view, { zoom: view.zoom * Math.exp(-0.002 * event.deltaY * (event.deltaMode ? 20 : 1)) });
    });
    on("dblclick", () => change(view, { ...START, held: false }));
    on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = {
        ArrowLeft: { yaw: view.yaw - 0.15 }, ArrowRight: { yaw: view.yaw + 0.15 },
        ArrowUp: { pitch: view.pitch - 0.1 }, ArrowDown: { pitch: view.pitch + 0.1 },
        "+": { zoom: view.zoom * 1.15 }, "=": { zoom: view.zoom * 1.15 }, "-": { zoom: view.zoom / 1.15 },
        0: { ...START, held: false },
      }[event.key];
      if (event.key === "Escape") canvas.blur();
      if (!step) return;
      event.preventDefault();
      change(view, step);
    });
  }

  function failed(canvas, error) {
    canvas.title = error.message;
    canvas.replaceWith(Object.assign(document.createElement("div"), { className: "gallery-none", textContent: error.message }));
    views.delete(canvas);
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const view = views.get(target);
      if (!view) continue;
      Object.assign(view, { inView: isIntersecting, stale: true });
      if (isIntersecting && !view.cloud) {
        loaded(target.dataset.script).then((clouds) => {
          view.cloud ??= unpacked(clouds[target.dataset.cloud]);
          redraw(false);
        }).catch((error) => failed(target, error));
      }
    }
    redraw(false);
  }, { rootMargin: "100px" });

  function choose(form) {
    const chosen = new FormData(form);
    for (const panel of gallery.querySelectorAll(".gallery-panel")) {
      panel.hidden = ["run", "benchmark", "kind"].some((name) => panel.dataset[name] !== chosen.get(name));
    }
  }

  painter = glPainter() || flatPainter();
  for (const canvas of gallery.querySelectorAll(".gallery-cloud")) {
    const view = { canvas, ...START, inView: false, stale: true, held: false, cloud: null };
    views.set(canvas, view);
    listen(canvas, view);
    watcher.observe(canvas);
  }
  const form = gallery.querySelector(".gallery-choice"), pause = gallery.querySelector(".gallery-pause");
  form.addEventListener("change", () => choose(form));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = pause.hidden = false;
  choose(form);
  const show = () => { pause.textContent = paused ? "Let clouds turn" : "Stop turning"; redraw(false); };
  pause.addEventListener("click", () => { paused = !paused; show(); });
  still.addEventListener("change", () => { paused = still.matches; show(); });
  addEventListener("resize", () => redraw());
  show();
})();
