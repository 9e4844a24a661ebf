"use strict";
{
  const kept = (() => { try { return localStorage.getItem("ferfuse-theme"); } catch { return null; } })();
  const root = document.documentElement;
  root.classList.add("js");
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
}
