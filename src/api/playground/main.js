// What starts the page: the two views, the API key, and the models.

import { ask, key, known, onKeyWanted, setKey } from "./api.js";
import { byId, tabList } from "./dom.js";
import { startWatching } from "./live.js";
import { problemView } from "./problem.js";
import { startTrying } from "./try.js";

const views = document.querySelector(".top .tabs");
const select = tabList(
  views,
  (tab) => history.replaceState(null, "", tab.id === "tab-live" ? "#live" : "#try"),
);
const follow = () => select(byId(location.hash === "#live" ? "tab-live" : "tab-try"));
addEventListener("hashchange", follow);
if (location.hash === "#live") follow();

onKeyWanted((why) => {
  const dialog = byId("key-dialog");
  byId("key-why").textContent = why ?? "This server answers those who bring a key.";
  byId("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((given) => {
    dialog.onclose = () => given(dialog.returnValue === "use" ? byId("key").value.trim() : null);
  });
});
byId("forget-key").onclick = () => {
  setKey(null);
  location.reload();
};

// How long to wait before asking a server again that is loading its models.
const AGAIN = 1000;

async function start() {
  try {
    const served = await (await ask("playground/models")).json();
    byId("forget-key").hidden = !key();
    byId("state").textContent = `onnxd ${served.version}`;
    startTrying(served);
    startWatching();
  } catch (problem) {
    if (problem.status === 503) {
      byId("wait").textContent = "The server is loading its models…";
      setTimeout(start, AGAIN);
      return;
    }
    byId("wait").replaceChildren(problemView(known(problem), start));
  }
}

start();
