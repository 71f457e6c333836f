// A photo from this machine's camera.

import { h } from "./dom.js";

// Opens the camera and promises a photo, or null. Where pages may not open it (over plain HTTP from
// another machine), `instead` is called, which lets phones open it themselves.
export async function photograph(instead) {
  const devices = navigator.mediaDevices;
  if (!devices?.getUserMedia || matchMedia("(pointer: coarse)").matches) {
    instead();
    return null;
  }
  let stream;
  try {
    stream = await devices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 1280 } },
    });
  } catch {
    // None there, or not allowed.
    instead();
    return null;
  }
  const video = h("video", {
    autoplay: true,
    playsinline: true,
    "aria-label": "What the camera sees",
  });
  video.muted = true;
  video.srcObject = stream;
  const shoot = h("button", { class: "primary", value: "shoot" }, "Take the photo");
  const dialog = h(
    "dialog",
    { class: "camera", "aria-label": "Camera" },
    video,
    h("form", { method: "dialog", class: "go" }, shoot, h("button", { value: "cancel" }, "Cancel")),
  );
  document.body.append(dialog);
  dialog.showModal();
  shoot.disabled = true;
  video.onloadeddata = () => {
    shoot.disabled = false;
    shoot.focus();
  };
  const choice = await new Promise((done) => (dialog.onclose = () => done(dialog.returnValue)));
  const photo = choice === "shoot" ? await frame(video) : null;
  for (const track of stream.getTracks()) track.stop();
  dialog.remove();
  return photo;
}

async function frame(video) {
  const canvas = h("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return blob && new File([blob], "photo.jpg", { type: "image/jpeg" });
}
