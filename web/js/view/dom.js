/** Short names for what every view does. */

/**
 * @template {Element} [T=HTMLElement]
 * @param {string} id of an element that is in the page
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return /** @type {any} */ (element);
}

/**
 * @param {string} tag
 * @param {{class?: string, text?: string} & Record<string, string | undefined>} [attributes] `text` becomes the content
 * @param {Node[]} [children]
 * @returns {HTMLElement}
 */
export function make(tag, { text, ...attributes } = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

/**
 * @param {string} name of a symbol in the page
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Changes text only where it differs, so that nothing is laid out or read aloud again without need.
 * @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {HTMLSelectElement} select
 * @param {readonly {value: string, label: string}[]} options
 * @param {string} value the one to choose; the first when it is not among them
 */
export function fillSelect(select, options, value) {
  const same = select.options.length === options.length
    && options.every((one, index) => select.options[index].value === one.value && select.options[index].text === one.label);
  if (!same) select.replaceChildren(...options.map((one) => new Option(one.label, one.value)));
  select.value = options.some((one) => one.value === value) ? value : (options[0]?.value ?? "");
}
