// What the page carries compressed, as text.

/** The text that an element holds as gzip in base64. @param {string} id @returns {Promise<string>} */
export async function unpack(id) {
  const held = document.getElementById(id)?.textContent ?? "";
  const packed = Uint8Array.from(atob(held.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}
