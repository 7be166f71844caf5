// The button that copies the command of the run.

// Brings the button to life, where the page has one.
export function openCopy() {
  const button = document.getElementById("copy"), code = document.getElementById("command");
  button?.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {  // not every browser lets a file write there
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
  });
}
