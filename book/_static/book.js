// What the theme leaves without a name for those who cannot see it.
for (const summary of document.querySelectorAll("nav details > summary")) {
  if (!summary.textContent.trim() && !summary.hasAttribute("aria-label")) {
    const link = summary.closest("li")?.querySelector("a");
    summary.setAttribute("aria-label", `Pages under ${link ? link.textContent.trim() : "this one"}`);
  }
}
// What is wider than the page shows it: the style fades the side on which there is more.
for (const box of document.querySelectorAll(".pst-scrollable-table-container, .highlight > pre, .cell_output")) {
  const mark = () => {
    const more = box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
    if (more) box.tabIndex = 0; // for the keyboard
    box.style.setProperty("--seen", `${box.clientWidth}px`); // as wide as a caption may be
  };
  box.addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(box);
}
// An entry of the references is a list item, whatever else it is.
for (const entry of document.querySelectorAll('.citation-list[role="list"] > *')) {
  entry.setAttribute("role", "listitem");
}
// A long name of the library may break where its parts end, and nowhere else.
const named = "h2 code .pre, .bd-sidebar-secondary code .pre, .field-list em, .field-list code .pre";
for (const name of document.querySelectorAll(named)) {
  if (!name.children.length) {
    const parts = name.textContent.split(/(?<=\.)(?=[a-z])/i);
    name.replaceChildren(...parts.flatMap((part, place) => (place ? [document.createElement("wbr"), part] : [part])));
  }
}
