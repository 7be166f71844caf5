// Runs in the head: the colours that were chosen on an earlier visit are there at the first paint.
{
  let kept = null;
  try { kept = localStorage.getItem("gdl-theme"); } catch { /* a file may have no storage */ }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
}
