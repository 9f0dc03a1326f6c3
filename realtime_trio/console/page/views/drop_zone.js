// Files that are dropped on the page, and images that are pasted into it.

/**
 * @param {object} acts
 * @param {(file: File) => void} acts.recording
 * @param {(file: File) => void} acts.image
 */
export function acceptFiles({ recording, image }) {
  const take = (/** @type {FileList | undefined} */ files) => {
    const file = files?.[0];
    if (file === undefined) return false;
    if (file.type.startsWith("image/")) image(file);
    else recording(file);
    return true;
  };
  let depth = 0; // enter and leave come for every element below the pointer
  const over = (/** @type {number} */ change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  window.addEventListener("dragenter", () => over(1));
  window.addEventListener("dragleave", () => over(-1));
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    take(event.dataTransfer?.files);
  });
  window.addEventListener("paste", (event) => {
    if (take(event.clipboardData?.files)) event.preventDefault();
  });
}
