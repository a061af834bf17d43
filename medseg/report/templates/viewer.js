"use strict";
// The interactive viewer of a case: NiiVue, which the page carries compressed, and its controls.
(async () => {
  const dataOf = document.getElementById("viewer-data");
  if (!dataOf) return;
  const element = (id) => document.getElementById(id);
  if (!document.createElement("canvas").getContext("webgl2")) {
    throw new Error("this browser has no WebGL 2");
  }
  const inflated = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  };

  const CROSSHAIR = 0.5; // percent of the scan's width
  const data = JSON.parse(dataOf.textContent);
  const source = await inflated(element("viewer-module").textContent);
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { Niivue, NVImage, NVMesh } = await import(address);
  URL.revokeObjectURL(address);
  element("viewer-body").hidden = false;

  const numbers = data.labels.map((_, index) => index + 1);
  const colours = data.labels.map((label) =>
    [1, 3, 5].map((at) => parseInt(label.colour.slice(at, at + 2), 16)));
  const shown = new Set(numbers);
  const common = { logLevel: "error", dragAndDropEnabled: false, backColor: [0, 0, 0, 1] };

  const slices = new Niivue({
    ...common,
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    isCornerOrientationText: true,
    multiplanarShowRender: 0,
    crosshairColor: [1, 0.82, 0.3, 0.8],
    crosshairWidth: CROSSHAIR,
    crosshairWidthUnit: "percent",
  });
  await slices.attachToCanvas(element("slices"));

  const labelTable = () => {
    const channelOf = (at) => [0, ...colours.map((colour) => colour[at])];
    return {
      R: channelOf(0),
      G: channelOf(1),
      B: channelOf(2),
      A: [0, ...numbers.map((number) => (shown.has(number) ? 255 : 0))],
      I: [0, ...numbers],
      labels: ["", ...data.labels.map((label) => label.title)],
    };
  };

  // The scan and the overlay.
  let channel = Object.keys(data.channels)[0];
  let role = Object.keys(data.label_maps)[0];
  const setOpacity = () => slices.setOpacity(1, Number(element("opacity").value));
  const show = async () => {
    const scan = await NVImage.loadFromBase64({
      name: "scan.nii.gz", base64: data.channels[channel], colormap: "gray",
    });
    const overlay = await NVImage.loadFromBase64({
      name: "labels.nii.gz", base64: data.label_maps[role],
    });
    overlay.setColormapLabel(labelTable());
    while (slices.volumes.length) slices.removeVolume(slices.volumes[0]);
    slices.addVolume(scan);
    slices.addVolume(overlay);
    setOpacity();
    const [least, most] = [scan.global_min, scan.global_max];
    Object.assign(element("level"), { min: least, max: most });
    Object.assign(element("width"), { min: (most - least) / 500, max: most - least });
    resetWindow();
    slices.createOnLocationChange();
  };

  // The window: its middle and its width.
  const tellWindow = ([low, high]) => {
    element("level").value = (low + high) / 2;
    element("width").value = high - low;
  };
  const applyWindow = () => {
    const [level, width] = ["level", "width"].map((id) => Number(element(id).value));
    const scan = slices.volumes[0];
    [scan.cal_min, scan.cal_max] = [level - width / 2, level + width / 2];
    slices.updateGLVolume();
  };
  const resetWindow = () => {
    tellWindow(data.windows[channel]);
    applyWindow();
  };
  slices.onIntensityChange = (scan) => tellWindow([scan.cal_min, scan.cal_max]);

  // Places count voxels from the left, the back and the bottom.
  const axes = [0, 1, 2];
  const places = axes.map((axis) => element(`place-${axis}`));
  const goTo = (axis, place) => {
    const voxel = Math.min(Math.max(place, 0), data.shape[axis] - 1);
    slices.scene.crosshairPos[axis] = (voxel + 0.5) / data.shape[axis];
    slices.createOnLocationChange();
    slices.drawScene();
  };
  slices.onLocationChange = (location) => {
    for (const axis of axes) {
      places[axis].value = Math.floor(slices.scene.crosshairPos[axis] * data.shape[axis]);
    }
    const [x, y, z] = [...location.mm].map((length) => length.toFixed(1));
    const [scan, overlay] = location.values.map((each) => each.value);
    const label = data.labels[Math.round(overlay) - 1]?.title ?? "no label";
    element("readout").textContent =
      `x ${x} mm, y ${y} mm, z ${z} mm: ${channel} ${Number(scan.toPrecision(4))}, ${label}`;
  };

  // The surfaces, in a canvas of their own.
  const meshes = new Map();
  const solid = element("solid") && new Niivue({ ...common, show3Dcrosshair: false });
  if (solid) {
    await solid.attachToCanvas(element("solid"));
    for (const surface of data.surfaces) {
      const colour = new Uint8Array([...colours[surface.number - 1], 255]);
      const buffer = await inflated(surface.mz3);
      const name = `${surface.number}.mz3`;
      const mesh = await NVMesh.readMesh(buffer, name, solid.gl, surface.opacity, colour);
      solid.addMesh(mesh);
      meshes.set(surface.number, mesh);
    }
    solid.setSliceType(4);
    solid.setRenderAzimuthElevation(160, 15);
  }

  // The controls.
  const on = (id, event, act) => element(id)?.addEventListener(event, act);
  on("plane", "change", (event) => slices.setSliceType(Number(event.target.value)));
  places.forEach((slider, axis) =>
    slider.addEventListener("input", () => goTo(axis, Number(slider.value))));
  on("crosshair", "change", (event) => slices.setCrosshairWidth(event.target.checked ? CROSSHAIR : 0));
  on("channel", "change", (event) => {
    channel = event.target.value;
    show();
  });
  on("role", "change", (event) => {
    role = event.target.value;
    show();
  });
  on("level", "input", applyWindow);
  on("width", "input", applyWindow);
  on("reset", "click", resetWindow);
  on("preset", "change", (event) => {
    tellWindow(event.target.value.split(",").map(Number));
    applyWindow();
  });
  on("opacity", "input", setOpacity);
  for (const box of document.querySelectorAll("input.label")) {
    box.addEventListener("change", () => {
      const number = Number(box.value);
      shown[box.checked ? "add" : "delete"](number);
      slices.volumes[1].setColormapLabel(labelTable());
      slices.updateGLVolume();
      const mesh = meshes.get(number);
      if (mesh) solid.setMeshProperty(mesh.id, "visible", box.checked);
    });
  }

  // Keys: NiiVue has its own, so these are taken before it sees them.
  const listen = (id, keys, act) => element(id)?.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    act(...keys[event.key]);
  }, { capture: true });
  listen("slices", {
    ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1],
    PageUp: [2, 1], PageDown: [2, -1],
  }, (axis, by) => goTo(axis, Number(places[axis].value) + by));
  listen("solid", {
    ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10],
  }, (azimuth, elevation) => {
    const { renderAzimuth, renderElevation } = solid.scene;
    solid.setRenderAzimuthElevation(renderAzimuth + azimuth, renderElevation + elevation);
  });

  await show();
  slices.setSliceType(3);
  axes.forEach((axis) => goTo(axis, data.start[axis]));
  element("viewer-state").hidden = true;
  document.body.dataset.viewer = "ready";
})().catch((error) => {
  document.getElementById("viewer-body").hidden = true;
  document.getElementById("viewer-state").textContent =
    `The viewer cannot run: ${error.message}. The pictures below show the same.`;
});
