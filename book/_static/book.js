// What the theme leaves without a name for those who cannot see it.
for (const summary of document.querySelectorAll("nav details > summary")) {
  if (!summary.textContent.trim() && !summary.hasAttribute("aria-label")) {
    const link = summary.closest("li")?.querySelector("a");
    summary.setAttribute("aria-label", `Pages under ${link ? link.textContent.trim() : "this one"}`);
  }
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
