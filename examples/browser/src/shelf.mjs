// The styles to choose from: radio buttons with a picture each, so that the arrow keys work and a screen reader knows them.

export class Shelf {
  #pictures = new Map();

  constructor(list, styles, chosen) {
    this.styles = styles;
    for (const style of styles) list.append(this.#tile(style, chosen));
    list.querySelector("input").checked = true;
    this.list = list;
  }

  /** The style that is chosen. */
  get style() {
    const name = this.list.querySelector("input:checked").value;
    return this.styles.find((style) => style.name === name);
  }

  /** Show on a style's tile what the painter made. */
  show(style, { width, height, styled }) {
    const canvas = this.#pictures.get(style.name);
    canvas.dataset.own = "";
    Object.assign(canvas, { width, height });
    canvas.getContext("2d").putImageData(new ImageData(styled, width, height), 0, 0);
  }

  #tile(style, chosen) {
    const label = document.createElement("label");
    label.className = "tile";
    label.title = style.credit;
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "style", value: style.name });
    input.addEventListener("change", chosen);
    const picture = document.createElement("canvas");
    picture.setAttribute("aria-hidden", "true");
    this.#pictures.set(style.name, picture);
    this.#example(style, picture);
    const title = Object.assign(document.createElement("span"), { textContent: style.title });
    label.append(input, picture, title);
    return label;
  }

  async #example(style, picture) {
    const image = new Image();
    image.src = `styles/${style.example}`;
    await image.decode().catch(() => undefined);
    if (!image.naturalWidth || picture.dataset.own) return;
    Object.assign(picture, { width: image.naturalWidth, height: image.naturalHeight });
    picture.getContext("2d").drawImage(image, 0, 0);
  }
}
